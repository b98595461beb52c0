// Package etcd holds the commands that manage the etcd database of a cluster.
package etcd

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/remote"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/daemon/client"
)

// tool returns the command line of the etcd tool on a control-plane node.
func tool(args ...string) []string {
	return append([]string{"/usr/bin/skiff-controlplane", "etcd"}, args...)
}

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

// controlPlanes opens a cluster and returns the names of its control planes.
func controlPlanes(ctx context.Context, name string) (*client.Client, []string, error) {
	c, nodes, err := target.Nodes(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	var planes []string
	for _, n := range nodes {
		if strings.HasPrefix(n, string(nodeconfig.RoleControlPlane)+"-") {
			planes = append(planes, n)
		}
	}
	return c, planes, nil
}

// onAny runs the tool on the control planes in turn until it succeeds.
func onAny(ctx context.Context, name string, args ...string) (string, error) {
	c, planes, err := controlPlanes(ctx, name)
	if err != nil {
		return "", err
	}
	var failed error
	for _, n := range planes {
		out, err := remote.Capture(ctx, c, n, strings.NewReader(""), tool(args...)...)
		if err == nil {
			return out, nil
		}
		failed = errors.Join(failed, err)
	}
	return "", failed
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
			if _, err := onAny(cmd.Context(), cli.First(args), "defrag"); err != nil {
				return err
			}
			fmt.Fprintln(s.Out, "database defragmented")
			return nil
		},
	}
}
