package cluster

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/records"
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
  skiff list -o json

  # List the records of deleted clusters
  skiff list --kept`,
		Args: cli.Arguments(0, 0),
	}
	asJSON := cli.Output(cmd)
	kept := cmd.Flags().Bool("kept", false, "list the records of deleted clusters instead")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		h, err := target.Home()
		if err != nil {
			return err
		}
		if *kept {
			return listKept(s, h, inJSON)
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

// listKept lists the records of deleted clusters.
func listKept(s cli.Streams, h home.Home, asJSON bool) error {
	all, err := records.List(h)
	if err != nil {
		return err
	}
	if asJSON {
		if all == nil {
			all = []records.Kept{}
		}
		return s.JSON(all)
	}
	if len(all) == 0 {
		fmt.Fprintln(s.Err, "no records of deleted clusters; `skiff down --keep-records` keeps them")
		return nil
	}
	rows := [][]string{{"ID", "CLUSTER", "DELETED", "SIZE", "DIRECTORY"}}
	for _, k := range all {
		rows = append(rows, []string{k.ID, k.Cluster, cli.Age(time.Since(k.Removed)) + " ago", cli.Bytes(k.Bytes), k.Directory})
	}
	return s.Table(rows)
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
		rows = append(rows, []string{c.Name, c.PhaseText(), fmt.Sprintf("%d/%d ready", ready, len(c.Nodes)), c.Driver, c.Kubernetes, c.Server})
	}
	return rows
}
