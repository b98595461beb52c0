package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

func (a *app) secrets() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "secrets",
		Short: "Look after the key that a cluster's secrets are encrypted with at rest",
		Args:  cobra.ArbitraryArgs,
		RunE:  group,
	}
	cmd.AddCommand(a.secretsRotate())
	return cmd
}

func (a *app) secretsRotate() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rotate [CLUSTER]",
		Short: "Encrypt all secrets at rest with a new key, and remove the old one",
		Long: `Encrypt all secrets at rest with a new key, and remove the old one. Every control plane must
run; none is restarted, and every secret can be read all the time. Interrupted anywhere, the
same command goes on from there.

The old key stays on this host, for snapshots of the database that were taken with it.`,
		Example: `  skiff secrets rotate
  skiff secrets rotate ci -o json`,
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
		err = a.show(cmd.Context(), inJSON, func(ctx context.Context, event func(daemonapi.Event)) error {
			return c.RotateSecrets(ctx, event)
		})
		if err != nil {
			return fmt.Errorf("rotate the key of secrets: %w", about(name, err))
		}
		return nil
	}
	return cmd
}
