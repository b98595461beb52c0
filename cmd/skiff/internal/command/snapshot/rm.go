package snapshot

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/home"
)

func newRemove(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rm SNAPSHOT...",
		Short: "Delete snapshots",
		Example: `  # Delete a snapshot of the default cluster
  skiff snapshot rm before-upgrade`,
		Args:              cli.Arguments(1, -1),
		ValidArgsFunction: complete(true),
	}
	given := target.Flag(cmd)
	cli.Yes(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		c, cluster, err := target.OpenExisting(*given)
		if err != nil {
			return err
		}
		var failed []error
		for _, name := range args {
			err := c.RemoveSnapshot(name)
			switch {
			case err == nil:
				fmt.Fprintf(s.Out, "snapshot %q deleted\n", name)
			case errors.Is(err, home.ErrLocked):
				failed = append(failed, &daemonapi.Failure{
					Cause: fmt.Sprintf("snapshot %q: another command is changing the snapshots of cluster %q", name, cluster), Hint: "wait until it is done and try again",
				})
			default:
				failed = append(failed, target.NoSnapshot(c, cluster, name, err))
			}
		}
		return errors.Join(failed...)
	}
	return cmd
}
