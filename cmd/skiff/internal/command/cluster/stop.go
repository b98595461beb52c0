package cluster

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// Stop returns the command `stop`.
func Stop(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "stop [NAME]",
		Short: "Shut down a cluster and keep its disks",
		Long: `Shut down the machines of the cluster NAME and end its processes on this host. Disks,
addresses and certificates are kept, so "skiff up" starts the same cluster again.
Stopping a stopped cluster does nothing.`,
		Example: `  # Shut down the default cluster
  skiff stop

  # Shut down the cluster named "ci"
  skiff stop ci`,
		Args:              cli.Arguments(0, 1),
		ValidArgsFunction: target.CompleteClusterArgument,
	}
	cli.Yes(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, dir, err := target.Open(cli.First(args))
		if err != nil {
			return err
		}
		name := dir.Name()
		stopped, err := c.Stop(cmd.Context(), func(e daemonapi.Event) {
			if e.Failure != nil && !e.Done {
				fmt.Fprintf(s.Err, "skiff: warning: %s\n", e.Failure.Cause)
			}
		})
		switch {
		case errors.Is(err, context.Canceled):
			return cli.Interrupted(
				fmt.Sprintf("interrupted; cluster %q is still shutting down", name),
				fmt.Sprintf("run `skiff status %s` to see its progress", name),
			)
		case err != nil:
			return target.Explain(name, err)
		case stopped:
			fmt.Fprintf(s.Out, "cluster %q stopped; run `skiff up %s` to start it again\n", name, name)
		default:
			fmt.Fprintf(s.Out, "cluster %q is already stopped\n", name)
		}
		return nil
	}
	return cmd
}
