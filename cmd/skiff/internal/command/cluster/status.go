package cluster

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/offline"
)

// Status returns the command `status`.
func Status(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status [NAME]",
		Short: "Show a cluster and its nodes",
		Long: `Show a cluster and its nodes.

ON HOST is the memory that a machine uses on this host, DISK the space its files use,
and CERTS the time until the node's first certificate expires. Certificates are renewed
automatically long before that; -o json lists them all.

With --timing, show only how long the nodes took to start at the last "skiff up" that
started machines: when each step ended, counted from the start of the node's machine, and
how long after the one before.`,
		Example: `  # Show the default cluster
  skiff status

  # Print the cluster named "ci" as JSON
  skiff status ci -o json

  # Show where the time of the last start went
  skiff status --timing`,
		Args:              cli.Arguments(0, 1),
		ValidArgsFunction: target.CompleteClusterArgument,
	}
	asJSON := cli.Output(cmd)
	timing := cmd.Flags().Bool("timing", false, "show when each step of each node's start ended")
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
		switch {
		case *timing && inJSON:
			return s.JSON(offline.AllTimings(dir))
		case *timing:
			return showTimings(s, offline.AllTimings(dir))
		case inJSON:
			return s.JSON(status)
		}
		fmt.Fprint(s.Text(), heading(status, time.Now()))
		return s.Table(nodeRows(status.Nodes, time.Now()))
	}
	return cmd
}

// recentRepair is how long a repair or a change of the autoscaler is shown; -o json has all
// of them.
const recentRepair = time.Hour

// heading formats what concerns the whole cluster at the time now.
func heading(c daemonapi.ClusterStatus, now time.Time) string {
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
	phase := c.Phase
	if c.WakesOnUse {
		phase += ", wakes on use"
	}
	line("Cluster", fmt.Sprintf("%s, %s", c.Name, phase))
	line("Kubernetes", c.Kubernetes)
	if c.Upgrade != nil {
		line("Upgrade", c.Upgrade.Change)
	}
	if c.Simulated != nil {
		line("Simulation", c.Simulated.String())
	}
	line("API", api)
	line("Services", c.Web)
	if c.Standby != nil && c.Phase != "paused" {
		line("Pauses", c.Standby.String())
	}
	if c.Tunnel != "" {
		line("Connected", "this host, through "+c.Tunnel)
	}
	machines := c.Accelerator
	if !strings.Contains(machines, c.Driver) {
		machines = c.Driver + ": " + machines
	}
	line("Machines", strings.TrimSuffix(machines, ": "))
	line("Last up", strings.Trim(timings(c.Timings), " ()"))
	if c.Saved != nil {
		line("Memory", fmt.Sprintf("kept on disk for %s (%s): `skiff up %s` continues it", cli.Age(now.Sub(c.Saved.Time)), cli.Bytes(c.Saved.Bytes), c.Name))
	}
	line("Made from", c.Origin)
	if c.Snapshots > 0 {
		line("Snapshots", fmt.Sprintf("%d: `skiff snapshot list %s` shows them", c.Snapshots, c.Name))
	}
	for _, fault := range c.Faults {
		line("Fault", fault.Summary(now))
	}
	for _, repair := range c.Repairs {
		if now.Sub(repair.Began) < recentRepair {
			line("Repair", repair.Summary(now))
		}
	}
	for _, scaled := range cli.Scaled(c.Scaled) {
		line("Autoscaled", scaled)
	}
	for _, scaling := range c.Scalings {
		if now.Sub(scaling.Began) < recentRepair {
			line("Scaling", scaling.Summary(now))
		}
	}
	for _, problem := range c.Problems {
		line("Problem", problem)
	}
	for _, note := range c.Notes {
		line("Note", note)
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
		message := cmp.Or(strings.Join(n.Faults, ", "), n.MachineMessage, n.Reason, n.OutdatedText())
		rows = append(rows, []string{
			n.Name, n.Role, n.Condition(), n.Address, fmt.Sprint(n.CPUs), fmt.Sprintf("%dMi", n.MemoryMiB),
			host, disk, up, certificates, message,
		})
	}
	return rows
}
