package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// errAccepted means that --wait is 0 and the node is restarting.
var errAccepted = errors.New("the node is restarting")

// Restart returns the command `node restart`.
func Restart(s cli.Streams) *cobra.Command {
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "restart NODE",
		Short: "Restart a node and wait until it is Ready",
		Long: `Restart the machine of a node, as "reboot" on the node does. Its pods stop and start
again on the same node; drain the node first to move them elsewhere. Disks, addresses
and certificates are kept.`,
		Example: `  # Restart a node of the default cluster
  skiff node restart worker-1

  # Restart a node of the cluster "ci" without waiting for it
  skiff node restart worker-1 --cluster ci --wait 0`,
		Args:              cli.Arguments(1, 1),
		ValidArgsFunction: target.CompleteNode,
	}
	name := target.Flag(cmd)
	cmd.Flags().DurationVar(&wait, "wait", 10*time.Minute, "how long to wait for the node to be Ready; 0 does not wait")
	cli.Yes(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if wait < 0 {
			return cli.Invalid("", "--wait must not be negative")
		}
		c, _, err := target.Node(cmd.Context(), *name, args[0])
		if err != nil {
			return err
		}
		begun := time.Now()
		err = restart(cmd.Context(), c, args[0], wait)
		switch {
		case errors.Is(err, errAccepted):
			fmt.Fprintf(s.Out, "node %s is restarting\n", args[0])
			return nil
		case err != nil:
			return err
		}
		fmt.Fprintf(s.Out, "node %s restarted in %.1f s\n", args[0], time.Since(begun).Seconds())
		return nil
	}
	return cmd
}

// restart restarts a node and waits until it is Ready; errAccepted if wait is 0
// and the node has begun to restart.
func restart(ctx context.Context, c *client.Client, name string, wait time.Duration) error {
	work, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if wait > 0 {
		var stop context.CancelFunc
		work, stop = context.WithTimeout(work, wait)
		defer stop()
	}
	err := c.Restart(work, name, func(e daemonapi.Event) {
		if wait == 0 && e.Phase == daemonapi.PhaseBoot {
			cancel(errAccepted)
		}
	})
	switch {
	case errors.Is(context.Cause(work), errAccepted):
		return errAccepted
	case err != nil && ctx.Err() == nil && errors.Is(work.Err(), context.DeadlineExceeded):
		return &daemonapi.Failure{
			Cause: fmt.Sprintf("node %s is not Ready %s after its restart", name, wait),
			Hint:  fmt.Sprintf("run `skiff logs %s` to see what it is doing", name),
		}
	}
	return err
}
