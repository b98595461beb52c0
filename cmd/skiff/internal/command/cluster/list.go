package cluster

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// List returns the command `list`.
func List(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List your clusters",
		Example: `  # List your clusters
  skiff list

  # Print them as JSON
  skiff list -o json`,
		Args: cli.Arguments(0, 0),
	}
	asJSON := cli.Output(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		h, err := target.Home()
		if err != nil {
			return err
		}
		clusters, err := client.List(cmd.Context(), h)
		if err != nil {
			return err
		}
		if inJSON {
			if clusters == nil {
				clusters = []daemonapi.ClusterStatus{}
			}
			return s.JSON(clusters)
		}
		if len(clusters) == 0 {
			fmt.Fprintln(s.Err, "no clusters; run `skiff up` to create one")
			return nil
		}
		return s.Table(clusterRows(clusters))
	}
	return cmd
}

func clusterRows(clusters []daemonapi.ClusterStatus) [][]string {
	rows := [][]string{{"NAME", "STATUS", "NODES", "DRIVER", "KUBERNETES", "API"}}
	for _, c := range clusters {
		ready := 0
		for _, n := range c.Nodes {
			if n.Ready == "True" && n.Machine == "running" {
				ready++
			}
		}
		rows = append(rows, []string{c.Name, c.Phase, fmt.Sprintf("%d/%d ready", ready, len(c.Nodes)), c.Driver, c.Kubernetes, c.Server})
	}
	return rows
}
