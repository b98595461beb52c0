package cluster

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// Status returns the command `status`.
func Status(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status [NAME]",
		Short: "Show a cluster and its nodes",
		Long: `Show a cluster and its nodes.

ON HOST is the memory that a machine uses on this host, DISK the space its files use,
and CERTS the time until the node's first certificate expires. Certificates are renewed
automatically long before that; -o json lists them all.`,
		Example: `  # Show the default cluster
  skiff status

  # Print the cluster named "ci" as JSON
  skiff status ci -o json`,
		Args:              cli.Arguments(0, 1),
		ValidArgsFunction: target.CompleteClusterArgument,
	}
	asJSON := cli.Output(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		c, dir, err := target.Open(cli.First(args))
		if err != nil {
			return err
		}
		status, err := c.Status(cmd.Context())
		if err != nil {
			return target.Explain(dir.Name(), err)
		}
		if inJSON {
			return s.JSON(status)
		}
		fmt.Fprint(s.Text(), heading(status))
		return s.Table(nodeRows(status.Nodes, time.Now()))
	}
	return cmd
}

// heading formats what concerns the whole cluster.
func heading(c daemonapi.ClusterStatus) string {
	var out strings.Builder
	line := func(title, text string) {
		if text != "" {
			fmt.Fprintf(&out, "%-11s %s\n", title, text)
		}
	}
	api := c.Server
	switch {
	case c.Server == "":
	case c.APIReady:
		api += " (ready)"
	default:
		api += " (not ready)"
	}
	line("Cluster", fmt.Sprintf("%s, %s", c.Name, c.Phase))
	line("Kubernetes", c.Kubernetes)
	line("API", api)
	line("Services", c.Web)
	if c.Tunnel != "" {
		line("Connected", "this host, through "+c.Tunnel)
	}
	machines := c.Accelerator
	if !strings.Contains(machines, c.Driver) {
		machines = c.Driver + ": " + machines
	}
	line("Machines", strings.TrimSuffix(machines, ": "))
	line("Last up", strings.Trim(timings(c.Timings), " ()"))
	for _, problem := range c.Problems {
		line("Problem", problem)
	}
	out.WriteByte('\n')
	return out.String()
}

// nodeRows returns the table of nodes at the time now.
func nodeRows(nodes []daemonapi.NodeStatus, now time.Time) [][]string {
	rows := [][]string{{"NODE", "ROLE", "STATUS", "ADDRESS", "CPUS", "MEMORY", "ON HOST", "DISK", "UP", "CERTS", "MESSAGE"}}
	for _, n := range nodes {
		host, disk, up := "-", "-", "-"
		if n.HostMemoryMiB > 0 {
			host = fmt.Sprintf("%dMi", n.HostMemoryMiB)
		}
		if n.DiskUsedBytes > 0 { // unknown without a running daemon
			disk = cli.Bytes(n.DiskUsedBytes)
		}
		if !n.Started.IsZero() && n.Machine == "running" {
			up = cli.Age(now.Sub(n.Started))
		}
		certificates := "-"
		if len(n.Certificates) > 0 {
			certificates = "expired"
			if rest := n.Certificates[0].Expires.Sub(now); rest > 0 {
				certificates = cli.Age(rest)
			}
		}
		message := n.MachineMessage
		if message == "" {
			message = n.Reason
		}
		rows = append(rows, []string{
			n.Name, n.Role, n.Condition(), n.Address, fmt.Sprint(n.CPUs), fmt.Sprintf("%dMi", n.MemoryMiB),
			host, disk, up, certificates, message,
		})
	}
	return rows
}
