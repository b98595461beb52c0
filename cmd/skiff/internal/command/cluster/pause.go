package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/drivers"
)

// Pause returns the command `pause`.
func Pause(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pause [NAME]",
		Short: "Freeze a cluster: its machines keep their memory and use no CPU",
		Long: `Freeze the machines of the cluster NAME. They keep their memory and use no CPU until
"skiff resume" or "skiff up" continues them. "skiff stop" stops a paused cluster like a
running one. A pause does not survive a restart of this host: the cluster is then
stopped, and its memory is lost. Pausing a paused cluster does nothing.

With --idle, nothing is paused now: the cluster is paused each time nobody has used it
for that long, and the next use resumes it within about a second. It is in use while
a program on this host is connected to its API or its ports, sends a request to one of
its names, Ingresses or Gateways, or runs a command of skiff that needs a node. Watches,
such as those of the dashboards, k9s or "kubectl get -w", are connections, too.`,
		Example: `  # Pause the default cluster
  skiff pause

  # Pause the cluster named "ci"
  skiff pause ci

  # Pause the default cluster whenever nobody has used it for 15 minutes
  skiff pause --idle 15m

  # Never pause it by itself
  skiff pause --idle off`,
		Args:              cli.Arguments(0, 1),
		ValidArgsFunction: target.CompleteClusterArgument,
	}
	asJSON := cli.Output(cmd)
	cli.Yes(cmd)
	var idle string
	cmd.Flags().StringVar(&idle, "idle", "", "pause the cluster whenever nobody has used it for this `time`, such as 15m or 2d; off ends that")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		c, name, err := target.OpenExisting(cli.First(args))
		if err != nil {
			return err
		}
		if cmd.Flags().Changed("idle") {
			return pauseIdle(cmd.Context(), s, c, name, idle, inJSON)
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

// pauseIdle changes when a cluster is paused by itself.
func pauseIdle(ctx context.Context, s cli.Streams, c *client.Client, name, idle string, asJSON bool) error {
	spec, err := c.Spec()
	if err != nil {
		return target.Explain(name, err)
	}
	if idle == "" {
		return cli.Invalid("", "invalid --idle \"\": use off, or how long nobody must have used the cluster, such as 15m")
	}
	wanted := cluster.Pause{Idle: idle}
	if faults := cluster.ValidatePause(wanted, spec.Driver, drivers.CanPause); len(faults) > 0 {
		return cli.Invalid("", "%s", faults[0])
	}
	if err := c.PauseIdle(ctx, idle); err != nil {
		return target.Explain(name, err)
	}
	switch {
	case asJSON:
		return s.JSON(daemonapi.PauseIdle{Idle: idle})
	case wanted.After() == 0:
		fmt.Fprintf(s.Out, "cluster %q keeps running while nobody uses it\n", name)
	default:
		fmt.Fprintf(s.Out, "cluster %q will be paused whenever nobody has used it for %s, and resumed by the next use\n", name, idle)
	}
	return nil
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
		c, name, err := target.OpenExisting(cli.First(args))
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
