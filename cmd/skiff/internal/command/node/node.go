package node

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// New returns the command `node`.
func New(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "node",
		Short: "Add, remove, replace, restart and drain nodes",
		Example: `  # List the nodes with their groups
  skiff node list

  # Add a worker
  skiff node add

  # Remove a particular node
  skiff node remove worker-1`,
		Args: cobra.ArbitraryArgs,
		RunE: cli.Group,
	}
	cmd.AddCommand(newList(s), newAdd(s), newRemove(s), newReplace(s), Restart(s), newCordon(s, true), newCordon(s, false), newDrain(s), newLabel(s), newImage(s))
	return cmd
}

func newList(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list [CLUSTER]",
		Short: "List the nodes of a cluster with their groups and sizes",
		Example: `  # List the nodes of the default cluster
  skiff node list`,
		Args:              cli.Arguments(0, 1),
		ValidArgsFunction: target.CompleteClusterArgument,
	}
	asJSON := cli.Output(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		_, status, err := target.Observe(cmd.Context(), cli.First(args))
		if err != nil {
			return err
		}
		if inJSON {
			return s.JSON(status.Nodes)
		}
		if err := s.Table(rows(status.Nodes)); err != nil {
			return err
		}
		for _, line := range cli.Scaled(status.Scaled) {
			fmt.Fprintf(s.Text(), "autoscaled: %s\n", line)
		}
		if status.Simulated != nil {
			fmt.Fprintln(s.Text(), status.Simulated)
		}
		return nil
	}
	return cmd
}

func rows(nodes []daemonapi.NodeStatus) [][]string {
	all := [][]string{{"NODE", "GROUP", "ROLE", "STATUS", "ADDRESS", "CPUS", "MEMORY", "DISK"}}
	for _, n := range nodes {
		all = append(all, []string{
			n.Name, n.Group, n.Role, n.Condition(), n.Address, fmt.Sprint(n.CPUs), fmt.Sprintf("%dMi", n.MemoryMiB), fmt.Sprintf("%dMi", n.DiskMiB),
		})
	}
	return all
}

// fileNote returns what users must change in the file that the cluster was made from after
// groups were resized; empty for nothing.
func fileNote(spec cluster.Spec, resized ...string) string {
	if spec.Environment.File == "" || len(resized) == 0 {
		return ""
	}
	var lines []string
	for _, name := range slices.Compact(slices.Sorted(slices.Values(resized))) {
		for _, g := range cluster.Groups(spec) {
			if g.Name == name && !g.Span.Scaled() { // up keeps the number of a group that is
				lines = append(lines, fmt.Sprintf("%s: %d", cluster.CountKey(name), g.Count))
			}
		}
	}
	if len(lines) == 0 {
		return ""
	}
	return fmt.Sprintf("note: the next \"skiff up -f %s\" undoes this unless the file has %s", spec.Environment.File, strings.Join(lines, " and "))
}
