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
		Short: "Freeze a cluster: its machines keep their memory and use no CPU",
		Long: `Freeze the machines of the cluster NAME. They keep their memory and use no CPU until
"skiff resume" or "skiff up" continues them. "skiff stop" shuts down a paused cluster
like a running one. A pause does not survive a restart of this host: the cluster is
then stopped. Pausing a paused cluster does nothing.`,
		Example: `  # Pause the default cluster
  skiff pause

  # Pause the cluster named "ci"
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
				Cause: fmt.Sprintf("interrupted; cluster %q is still being paused", name),
				Hint:  fmt.Sprintf("run `skiff resume %s` to continue it", name),
			}}
		case err != nil:
			return about(name, err)
		case !inJSON:
			fmt.Fprintf(a.stdout, "cluster %q paused; run `skiff resume %s` to continue it\n", name, name)
		}
		return nil
	}
	return cmd
}

func (a *app) resume() *cobra.Command {
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
		Args:              arguments(0, 1),
		ValidArgsFunction: completeClusterArgument,
	}
	asJSON := output(cmd)
	cmd.Flags().DurationVar(&wait, "wait", 10*time.Minute, "how long to wait for all nodes to be Ready; 0 returns once the machines run")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		if wait < 0 {
			return invalid("", "--wait must not be negative")
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
			fmt.Fprintf(a.stdout, "cluster %q resumed\n", name)
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
