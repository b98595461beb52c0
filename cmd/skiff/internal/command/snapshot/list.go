package snapshot

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/vm/snapshot"
)

// listed is a snapshot in JSON.
type listed struct {
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
	// Bytes is the space that it takes on disk.
	Bytes int64 `json:"bytes"`
	// Memory is set if it has the memory of all nodes.
	Memory     bool     `json:"memory"`
	Kubernetes string   `json:"kubernetes"`
	Nodes      []string `json:"nodes"`
	// PausedSeconds is how long the nodes were paused for it.
	PausedSeconds float64 `json:"pausedSeconds"`
}

func newList(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list [CLUSTER]",
		Aliases: []string{"ls"},
		Short:   "List the snapshots of a cluster",
		Example: `  # List the snapshots of the default cluster
  skiff snapshot list

  # Print those of the cluster "ci" as JSON
  skiff snapshot list ci -o json`,
		Args:              cli.Arguments(0, 1),
		ValidArgsFunction: target.CompleteClusterArgument,
	}
	asJSON := cli.Output(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		c, cluster, err := target.OpenExisting(cli.First(args))
		if err != nil {
			return err
		}
		all, damaged, err := c.Snapshots()
		if err != nil {
			return err
		}
		for _, one := range damaged {
			fmt.Fprintf(s.Err, "skiff: warning: %s\n", cli.OneLine(one.Error()))
		}
		if inJSON {
			return s.JSON(inJSONOf(all))
		}
		if len(all) == 0 {
			fmt.Fprintf(s.Out, "cluster %q has no snapshots\n", cluster)
			return nil
		}
		return s.Table(rows(all, time.Now()))
	}
	return cmd
}

func inJSONOf(all []snapshot.Manifest) []listed {
	out := []listed{}
	for _, m := range all {
		out = append(out, listed{m.Name, m.Created, m.Bytes(), m.Memory(), m.Kubernetes, m.Names(), m.PausedSeconds})
	}
	return out
}

// rows returns the table of snapshots at the time now.
func rows(all []snapshot.Manifest, now time.Time) [][]string {
	table := [][]string{{"SNAPSHOT", "AGE", "SIZE", "MEMORY", "KUBERNETES", "NODES"}}
	for _, m := range all {
		memory := "yes"
		if !m.Memory() {
			memory = "no"
		}
		table = append(table, []string{m.Name, cli.Age(now.Sub(m.Created)), cli.Bytes(m.Bytes()), memory, m.Kubernetes, fmt.Sprint(len(m.Machines))})
	}
	return table
}
