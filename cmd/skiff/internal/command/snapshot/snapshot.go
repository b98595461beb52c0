// Package snapshot holds the commands that manage the snapshots of a cluster.
package snapshot

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
)

// New returns the command `snapshot`.
func New(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "snapshot",
		Short: "Take snapshots of a cluster and return to them",
		Long: `Take snapshots of a running cluster and return to them. A snapshot has the disks of all
nodes and, of virtual machines under QEMU on Linux, their memory, all of the same moment.
It belongs to its cluster: the state that the host keeps of the cluster is part of it, what
was recorded (logs and metrics) is not. "skiff up --from" makes another cluster from it.`,
		Example: `  # Take a snapshot of the default cluster, and return to it later
  skiff snapshot create before-upgrade
  skiff snapshot restore before-upgrade --yes

  # Show the snapshots
  skiff snapshot list`,
		Args: cobra.ArbitraryArgs,
		RunE: cli.Group,
	}
	cmd.AddCommand(newCreate(s), newList(s), newRestore(s), newRemove(s))
	return cmd
}

// complete completes the snapshots of the cluster that the flag -c selects.
func complete(many bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, given []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(given) > 0 && !many {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		c, _, err := target.Open(cmd.Flag("cluster").Value.String())
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return slices.DeleteFunc(target.Snapshots(c), func(name string) bool { return slices.Contains(given, name) }), cobra.ShellCompDirectiveNoFileComp
	}
}

// left returns what an interrupted command leaves behind, if err is that of one.
func left(err error, cluster, what string) error {
	if errors.Is(err, context.Canceled) {
		return cli.Interrupted(
			fmt.Sprintf("interrupted; %s of cluster %q continues", what, cluster),
			fmt.Sprintf("run `skiff status %s` to see its state", cluster),
		)
	}
	return target.Explain(cluster, err)
}
