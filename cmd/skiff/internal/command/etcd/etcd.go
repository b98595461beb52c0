// Package etcd holds the commands that manage the etcd database of a cluster.
package etcd

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/controlplane/controlapi"
)

// New returns the command `etcd`.
func New(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "etcd",
		Short: "Manage a cluster's etcd database",
		Example: `  # Show the members of the default cluster
  skiff etcd members

  # Back up the database
  skiff etcd snapshot backup.db`,
		Args: cobra.ArbitraryArgs,
		RunE: cli.Group,
	}
	cmd.AddCommand(newMembers(s), newSnapshot(s), newRestore(s), newDefrag(s))
	return cmd
}

// onAny calls do with the control planes of a cluster in turn until it succeeds.
func onAny(ctx context.Context, args []string, do func(node string, c controlapi.Client) error) error {
	c, _, err := target.Nodes(ctx, cli.First(args))
	if err != nil {
		return err
	}
	return c.OnControlPlane(ctx, do)
}

func newDefrag(s cli.Streams) *cobra.Command {
	return &cobra.Command{
		Use:   "defrag [CLUSTER]",
		Short: "Release unused database space and clear the alarm of a full database",
		Example: `  # Defragment the default cluster's database
  skiff etcd defrag`,
		Args:              cli.Arguments(0, 1),
		ValidArgsFunction: target.CompleteClusterArgument,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := onAny(cmd.Context(), args, func(_ string, c controlapi.Client) error {
				return c.Defragment(cmd.Context())
			}); err != nil {
				return err
			}
			fmt.Fprintln(s.Out, "database defragmented")
			return nil
		},
	}
}
