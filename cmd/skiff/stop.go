package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

func (a *app) stop() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "stop [NAME]",
		Short: "Shut a cluster's machines down and keep all that is on them",
		Long: `Shut the machines of the cluster NAME down, and end its processes on this host. Disks,
addresses and certificates stay, so that "skiff up" brings the same cluster back. Stopping
a cluster that is stopped does nothing.`,
		Example: `  skiff stop
  skiff stop ci`,
		Args:              arguments(0, 1),
		ValidArgsFunction: completeClusterArgument,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, dir, err := a.open(first(args))
		if err != nil {
			return err
		}
		name := dir.Name()
		stopped, err := c.Stop(cmd.Context())
		switch {
		case errors.Is(err, context.Canceled):
			return &interrupted{daemonapi.Failure{
				Cause: fmt.Sprintf("interrupted; cluster %q goes on shutting down", name),
				Hint:  fmt.Sprintf("`skiff status %s` shows how far it is", name),
			}}
		case err != nil:
			return about(name, err)
		case stopped:
			fmt.Fprintf(a.stdout, "cluster %q is stopped: `skiff up %s` starts it again\n", name, name)
		default:
			fmt.Fprintf(a.stdout, "cluster %q is stopped already\n", name)
		}
		return nil
	}
	return cmd
}
