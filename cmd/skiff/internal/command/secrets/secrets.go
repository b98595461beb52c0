// Package secrets holds the commands that manage the encryption of secrets.
package secrets

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// New returns the command `secrets`.
func New(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "secrets",
		Short: "Manage the encryption key for secrets",
		Example: `  # Replace the encryption key of the default cluster
  skiff secrets rotate`,
		Args: cobra.ArbitraryArgs,
		RunE: cli.Group,
	}
	cmd.AddCommand(newRotate(s))
	return cmd
}

func newRotate(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rotate [CLUSTER]",
		Short: "Encrypt all secrets with a new key and retire the old one",
		Long: `Encrypt all secrets at rest with a new key, and remove the old key from the control planes.
All control planes must be running. None is restarted, and secrets stay readable throughout.
If cli.Interrupted, run the same command again to continue.

The old key stays on this host, for database snapshots that were taken with it.`,
		Example: `  # Replace the encryption key of the default cluster
  skiff secrets rotate

  # Replace that of the cluster "ci", with progress as JSON
  skiff secrets rotate ci -o json`,
		Args:              cli.Arguments(0, 1),
		ValidArgsFunction: target.CompleteClusterArgument,
	}
	asJSON := cli.Output(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		c, name, err := target.OpenExisting(cli.First(args))
		if err != nil {
			return err
		}
		err = s.Show(cmd.Context(), inJSON, func(ctx context.Context, event func(daemonapi.Event)) error {
			return c.RotateSecrets(ctx, event)
		})
		if err != nil {
			return fmt.Errorf("rotate the encryption key: %w", target.Explain(name, err))
		}
		return nil
	}
	return cmd
}
