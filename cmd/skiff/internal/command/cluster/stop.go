package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// Stop returns the command `stop`.
func Stop(s cli.Streams) *cobra.Command {
	var request daemonapi.StopRequest
	cmd := &cobra.Command{
		Use:   "stop [NAME]",
		Short: "Stop a cluster and keep its memory and disks",
		Long: `Write the memory of the cluster NAME to disk and end its processes on this host. The next
"skiff up" continues its nodes and pods where they were, also after this host was
restarted. If something does not match any more, such as the node image, that node boots
as after a shutdown and "skiff up" says why. Connections to the outside are lost.

With --shutdown, and where memory cannot be kept, the machines shut down: nodes in
sandboxes, machines of Apple's virtualization, with folders of this host (mounts), or
without enough free disk space. Disks, addresses and certificates are kept in any case.
Stopping a stopped cluster does nothing.`,
		Example: `  # Stop the default cluster and keep its memory
  skiff stop

  # Shut down the cluster named "ci"
  skiff stop ci --shutdown`,
		Args:              cli.Arguments(0, 1),
		ValidArgsFunction: target.CompleteClusterArgument,
	}
	cli.Yes(cmd)
	cmd.Flags().BoolVar(&request.Shutdown, "shutdown", false, "shut the machines down instead of keeping their memory")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, dir, err := target.Open(cli.First(args))
		if err != nil {
			return err
		}
		name, began := dir.Name(), time.Now()
		done := ""
		stopped, err := c.Stop(cmd.Context(), request, func(e daemonapi.Event) {
			switch {
			case e.Done:
				done = e.Message
			case e.Failure != nil:
				fmt.Fprintf(s.Err, "skiff: warning: %s\n", e.Failure.Cause)
			}
		})
		switch {
		case errors.Is(err, context.Canceled):
			return cli.Interrupted(
				fmt.Sprintf("interrupted; cluster %q is still being stopped", name),
				fmt.Sprintf("run `skiff status %s` to see its progress", name),
			)
		case err != nil:
			return target.Explain(name, err)
		case stopped:
			fmt.Fprintln(s.Out, stopResult(name, done, time.Since(began)))
		default:
			fmt.Fprintf(s.Out, "cluster %q is already stopped\n", name)
		}
		return nil
	}
	return cmd
}

// stopResult tells users in one line how a cluster stopped. done is the daemon's last message.
func stopResult(name, done string, took time.Duration) string {
	if _, kept, ok := strings.Cut(done, "; "); ok && strings.Contains(kept, "memory kept") {
		return fmt.Sprintf("cluster %q stopped in %.1f s, with %s; run `skiff up %s` to continue it", name, took.Seconds(), kept, name)
	}
	return fmt.Sprintf("cluster %q stopped; run `skiff up %s` to start it again", name, name)
}
