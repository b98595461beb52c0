package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// Pause returns the command `pause`.
func Pause(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pause [NAME]",
		Short: "Freeze a cluster: its machines keep their memory and use no CPU",
		Long: `Freeze the machines of the cluster NAME. They keep their memory and use no CPU until
"skiff resume" or "skiff up" continues them. "skiff stop" shuts down a paused cluster
like a running one. A pause does not survive a restart of this host: the cluster is
then stopped. Pausing a paused cluster does nothing.`,
		Example: `  # Pause the default cluster
  skiff pause

  # Pause the cluster named "ci"
  skiff pause ci`,
		Args:              cli.Arguments(0, 1),
		ValidArgsFunction: target.CompleteClusterArgument,
	}
	asJSON := cli.Output(cmd)
	cli.Yes(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		c, name, err := target.OpenExisting(args)
		if err != nil {
			return err
		}
		err = s.Show(cmd.Context(), inJSON, c.Pause)
		switch {
		case errors.Is(err, context.Canceled):
			return cli.Interrupted(
				fmt.Sprintf("interrupted; cluster %q is still being paused", name),
				fmt.Sprintf("run `skiff resume %s` to continue it", name),
			)
		case err != nil:
			return target.Explain(name, err)
		case !inJSON:
			fmt.Fprintf(s.Out, "cluster %q paused; run `skiff resume %s` to continue it\n", name, name)
		}
		return nil
	}
	return cmd
}

// Resume returns the command `resume`.
func Resume(s cli.Streams) *cobra.Command {
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "resume [NAME]",
		Short: "Resume a paused cluster",
		Long: `Resume the machines of the paused cluster NAME, set their clocks, and wait until its nodes
are Ready. Machines that have exited are not started; use "skiff up" for that. Resuming a
cluster that is not paused does nothing.`,
		Example: `  # Resume the default cluster
  skiff resume

  # Resume the cluster named "ci" and wait at most one minute for its nodes
  skiff resume ci --wait 1m`,
		Args:              cli.Arguments(0, 1),
		ValidArgsFunction: target.CompleteClusterArgument,
	}
	asJSON := cli.Output(cmd)
	cmd.Flags().DurationVar(&wait, "wait", 10*time.Minute, "how long to wait for all nodes to be Ready; 0 returns once the machines run")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		if wait < 0 {
			return cli.Invalid("", "--wait must not be negative")
		}
		c, name, err := target.OpenExisting(args)
		if err != nil {
			return err
		}
		err = follow(cmd.Context(), s, startup{
			command: "resume", name: name, wait: wait, asJSON: inJSON, work: c.Resume,
			// This phase follows once all machines run with their clocks set.
			begun: func(e daemonapi.Event) bool { return e.Phase == daemonapi.PhaseControlPlane },
		})
		if err != nil && !errors.Is(err, errNotWaited) {
			return target.Explain(name, err)
		}
		if !inJSON {
			fmt.Fprintf(s.Out, "cluster %q resumed\n", name)
		}
		return nil
	}
	return cmd
}
