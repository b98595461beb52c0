package snapshot

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

func newRestore(s cli.Streams) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "restore SNAPSHOT",
		Short: "Make a cluster what it was in a snapshot",
		Long: `Make a cluster, running or stopped, what it was in a snapshot: its nodes, their disks and
memory, and its settings. Nodes that were added later are deleted, and everything written
since is lost. The snapshot stays and can be restored again.

The snapshot is checked and copied while the cluster runs. Only then do the machines end,
at once, and those of the snapshot take their places. Nodes continue where they were, or
boot if the snapshot does not have their memory or this host cannot use it any more; the
command reports why.

If a restore is interrupted, the next "skiff up" undoes it or finishes it.`,
		Example: `  # Return to a snapshot of the default cluster
  skiff snapshot restore before-upgrade --yes`,
		Args:              cli.Arguments(1, 1),
		ValidArgsFunction: complete(false),
	}
	given := target.Flag(cmd)
	asJSON := cli.Output(cmd)
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "confirm that everything written since the snapshot is lost")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		c, cluster, err := target.OpenExisting(*given)
		if err != nil {
			return err
		}
		if _, err := c.ReadSnapshot(args[0]); err != nil {
			return target.NoSnapshot(c, cluster, args[0], err)
		}
		if !yes {
			return cli.Invalid("add --yes to confirm", "a restore discards everything written since the snapshot")
		}
		err = s.Show(cmd.Context(), inJSON, func(ctx context.Context, event func(daemonapi.Event)) error {
			return c.RestoreSnapshot(ctx, args[0], event)
		})
		return left(err, cluster, "the restore")
	}
	return cmd
}
