package snapshot

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/snapshot"
)

func newCreate(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create [SNAPSHOT]",
		Short: "Take a snapshot of a running cluster",
		Long: `Take a snapshot of a running cluster, named SNAPSHOT or after the current time. Most is
copied while the nodes run. Then all nodes are paused for a moment, usually for less than a
second, so that the copy is of one moment on all of them; connections survive that.

The snapshot has the memory of virtual machines under QEMU on Linux that share no folders
with the host. Other nodes boot from their disks when it is restored, as after a power
failure.`,
		Example: `  # Take a snapshot of the default cluster
  skiff snapshot create before-upgrade

  # Take one of the cluster "ci", named after the current time
  skiff snapshot create -c ci`,
		Args:              cli.Arguments(0, 1),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	given := target.Flag(cmd)
	asJSON := cli.Output(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		name := cli.First(args)
		if len(args) == 0 {
			name = snapshot.DefaultName(time.Now())
		}
		if err := snapshot.CheckName(name); err != nil {
			return cli.Invalid("", "%s", err)
		}
		c, cluster, err := target.OpenExisting(*given)
		if err != nil {
			return err
		}
		err = s.Show(cmd.Context(), inJSON, func(ctx context.Context, event func(daemonapi.Event)) error {
			return c.Snapshot(ctx, name, event)
		})
		return left(err, cluster, "the snapshot")
	}
	return cmd
}
