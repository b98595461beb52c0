package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// A restarting node is asked at this interval, each time with a timeout: a request
// that was in flight when its machine ended is never answered.
const (
	restartPoll    = 250 * time.Millisecond
	restartAttempt = 15 * time.Second
)

// Restart returns the command `restart`.
func Restart(s cli.Streams) *cobra.Command {
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "restart NODE",
		Short: "Restart a node and wait until it is Ready",
		Long: `Restart the machine of a node, as "reboot" on the node does. Its pods stop and start
again on the same node; drain the node first to move them elsewhere. Disks, addresses
and certificates are kept.`,
		Example: `  # Restart a node of the default cluster
  skiff restart worker-1

  # Restart a node of the cluster "ci" without waiting for it
  skiff restart worker-1 --cluster ci --wait 0`,
		Args:              cli.Arguments(1, 1),
		ValidArgsFunction: target.CompleteNode,
	}
	name := target.Flag(cmd)
	cmd.Flags().DurationVar(&wait, "wait", 10*time.Minute, "how long to wait for the node to be Ready; 0 does not wait")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if wait < 0 {
			return cli.Invalid("", "--wait must not be negative")
		}
		c, n, err := target.Node(cmd.Context(), *name, args[0])
		if err != nil {
			return err
		}
		before, err := n.Status(cmd.Context())
		if err != nil {
			return err
		}
		if err := n.Restart(cmd.Context()); err != nil {
			return err
		}
		if wait == 0 {
			fmt.Fprintf(s.Out, "node %s is restarting\n", args[0])
			return nil
		}
		begun := time.Now()
		if err := awaitRestart(cmd.Context(), c, n, args[0], before, wait); err != nil {
			return err
		}
		fmt.Fprintf(s.Out, "node %s restarted in %.1f s\n", args[0], time.Since(begun).Seconds())
		return nil
	}
	return cmd
}

// awaitRestart returns once the node has restarted and is Ready.
func awaitRestart(ctx context.Context, c *client.Client, n *client.Node, name string, before nodeapi.Status, wait time.Duration) error {
	limited, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for {
		if restarted(limited, c, n, name, before) {
			return nil
		}
		select {
		case <-limited.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return ctx.Err()
			}
			return &daemonapi.Failure{
				Cause: fmt.Sprintf("node %s is not Ready %s after its restart", name, wait),
				Hint:  fmt.Sprintf("run `skiff logs %s` to see what it is doing", name),
			}
		case <-time.After(restartPoll):
		}
	}
}

// restarted reports whether the node has restarted and is Ready.
func restarted(ctx context.Context, c *client.Client, n *client.Node, name string, before nodeapi.Status) bool {
	ctx, cancel := context.WithTimeout(ctx, restartAttempt)
	defer cancel()
	now, err := n.Status(ctx)
	return err == nil && restartedSince(before, now) && ready(ctx, c, name)
}

// restartedSince reports whether a node runs programs and started all of them after
// before. A program that is not running may have finished its work.
func restartedSince(before, now nodeapi.Status) bool {
	running := 0
	for _, p := range now.Programs {
		if p.PID != 0 && !p.Started.After(before.Time) {
			return false
		}
		if p.PID != 0 {
			running++
		}
	}
	return running > 0
}

func ready(ctx context.Context, c *client.Client, name string) bool {
	status, err := c.Status(ctx)
	return err == nil && slices.ContainsFunc(status.Nodes, func(n daemonapi.NodeStatus) bool {
		return n.Name == name && n.Condition() == "Ready"
	})
}
