package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

func (a *app) pause() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pause [NAME]",
		Short: "Freeze a cluster's machines: they keep their memory and take no processor",
		Long: `Freeze the machines of the cluster NAME: they keep their memory and take no processor time,
until "skiff resume" or "skiff up" lets them go on where they were. "skiff stop" shuts a
paused cluster down as it does a running one. A pause does not outlive a restart of this
host: the cluster is stopped then. Pausing a cluster that is paused does nothing.`,
		Example: `  skiff pause
  skiff pause ci`,
		Args:              arguments(0, 1),
		ValidArgsFunction: completeClusterArgument,
	}
	asJSON := output(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		c, name, err := a.existingClient(args)
		if err != nil {
			return err
		}
		err = a.show(cmd.Context(), inJSON, c.Pause)
		switch {
		case errors.Is(err, context.Canceled):
			return &interrupted{daemonapi.Failure{
				Cause: fmt.Sprintf("interrupted; cluster %q goes on being paused", name),
				Hint:  fmt.Sprintf("`skiff resume %s` lets it go on", name),
			}}
		case err != nil:
			return about(name, err)
		case !inJSON:
			fmt.Fprintf(a.stdout, "cluster %q is paused: `skiff resume %s` lets it go on\n", name, name)
		}
		return nil
	}
	return cmd
}

func (a *app) resume() *cobra.Command {
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "resume [NAME]",
		Short: "Let a paused cluster go on where it was",
		Long: `Let the machines of the paused cluster NAME go on where they were, set their clocks, and
wait until its nodes are Ready. Machines that ended are not started: "skiff up" does that,
too. Resuming a cluster that is not paused does nothing.`,
		Example: `  skiff resume
  skiff resume ci --wait 1m`,
		Args:              arguments(0, 1),
		ValidArgsFunction: completeClusterArgument,
	}
	asJSON := output(cmd)
	cmd.Flags().DurationVar(&wait, "wait", 10*time.Minute, "how long to wait for its nodes to be Ready; 0: not at all")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		if wait < 0 {
			return invalid("", "--wait: %s is less than nothing", wait)
		}
		c, name, err := a.existingClient(args)
		if err != nil {
			return err
		}
		err = a.follow(cmd.Context(), coming{
			command: "resume", name: name, wait: wait, asJSON: inJSON, work: c.Resume,
			// That follows when all machines go on with their clocks set.
			begun: func(e daemonapi.Event) bool { return e.Phase == daemonapi.PhaseControlPlane },
		})
		if err != nil && !errors.Is(err, errNotWaited) {
			return about(name, err)
		}
		if !inJSON {
			fmt.Fprintf(a.stdout, "cluster %q goes on\n", name)
		}
		return nil
	}
	return cmd
}

// existingClient speaks to the daemon of the cluster that the arguments mean,
// which must exist.
func (a *app) existingClient(args []string) (*client.Client, string, error) {
	c, dir, err := a.open(first(args))
	if err != nil {
		return nil, "", err
	}
	if _, err := c.Spec(); err != nil {
		return nil, "", about(dir.Name(), err)
	}
	return c, dir.Name(), nil
}
