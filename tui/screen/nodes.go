package screen

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/tui/feed"
	"github.com/skiff-dev/skiff/tui/keys"
	"github.com/skiff-dev/skiff/tui/object"
	"github.com/skiff-dev/skiff/tui/theme"
	"github.com/skiff-dev/skiff/tui/widget"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// Nodes shows the nodes of the chosen clusters, as Kubernetes sees them and as
// the machines that they are.
type Nodes struct {
	grid
	clusters []string
	tables   map[string]object.Table
	pods     map[string]object.Table
	usage    map[string]feed.Stats
	guests   map[string]feed.MachineStatus
	nodes    []nodeView
	history  map[string]*nodeHistory
	faults   bool // only nodes that are not well are shown
}

// nodeView is one node put together from all that is known of it.
type nodeView struct {
	cluster, name string
	row           *object.Row          // of Kubernetes; nil if it is not registered
	machine       daemonapi.NodeStatus // of the host; no name if it is no machine of ours
	guest         nodeapi.Status
	use           feed.ResourceUsage
	pods          int
}

// nodeHistory is what was measured of a node: in it, and of its machine on the
// host.
type nodeHistory struct {
	cpu, memory, disk, received, sent widget.Series
	hostCPU, hostMemory, hostDisk     widget.Series
	seconds                           float64   // of processor time when last looked at
	at                                time.Time // when that was; zero at first
}

// NewNodes returns the screen.
func NewNodes(w *World) *Nodes {
	n := &Nodes{
		tables: map[string]object.Table{}, pods: map[string]object.Table{}, usage: map[string]feed.Stats{}, guests: map[string]feed.MachineStatus{},
		history: map[string]*nodeHistory{}, grid: newGrid(),
	}
	n.Rechoose(w)
	return n
}

// Rechoose is called when other clusters were chosen.
func (n *Nodes) Rechoose(w *World) {
	n.clusters = w.Clusters
	n.refresh(w)
}

// Crumb is Screen's.
func (n *Nodes) Crumb() string { return "nodes" }

// Title is Screen's.
func (n *Nodes) Title() string {
	text := "Nodes of " + strings.Join(few(n.clusters, 3), ", ") + "  " + strconv.Itoa(len(n.nodes))
	if marks := n.table.Marks(); marks > 0 {
		text += fmt.Sprintf(", %d marked", marks)
	}
	if n.faults {
		text += ", unhealthy only"
	}
	return text
}

// Scopes is Screen's.
func (n *Nodes) Scopes() []keys.Scope {
	return []keys.Scope{keys.Nodes, keys.Objects, keys.Rows, keys.List}
}

// Needs is Screen's.
func (n *Nodes) Needs() []feed.Need {
	needs := []feed.Need{feed.Host{}}
	for _, cluster := range n.clusters {
		needs = append(needs,
			feed.Objects{Cluster: cluster, Resource: object.Nodes}, feed.Objects{Cluster: cluster, Resource: object.Pods},
			feed.Usage{Cluster: cluster}, feed.Machines{Cluster: cluster})
	}
	return needs
}

// Take is Screen's.
func (n *Nodes) Take(w *World, delivery any) {
	switch d := delivery.(type) {
	case object.Table:
		switch d.Resource.ID() {
		case "nodes":
			n.tables[d.Cluster] = d
		case "pods":
			n.pods[d.Cluster] = d
		}
	case feed.Stats:
		n.usage[d.Cluster] = d
		for name, use := range d.Nodes {
			h := n.historyOf(d.Cluster, name)
			h.cpu, h.memory = h.cpu.Add(float64(use.MilliCPU)), h.memory.Add(float64(use.MemoryBytes))
			h.received, h.sent = h.received.Add(use.ReceivedPerS), h.sent.Add(use.SentPerS)
		}
	case feed.MachineStatus:
		n.guests[d.Cluster] = d
		for name, guest := range d.Nodes {
			h := n.historyOf(d.Cluster, name)
			h.disk = h.disk.Add(float64(guest.DiskTotalBytes - guest.DiskFreeBytes))
		}
	case feed.Clusters:
		for _, s := range d.All {
			for _, m := range s.Nodes {
				n.historyOf(s.Name, m.Name).host(m, d.At)
			}
		}
	}
	n.refresh(w)
}

// host adds what a machine takes of the host.
func (h *nodeHistory) host(m daemonapi.NodeStatus, at time.Time) {
	h.hostMemory = h.hostMemory.Add(float64(m.HostMemoryMiB))
	h.hostDisk = h.hostDisk.Add(float64(m.DiskUsedBytes))
	if took := at.Sub(h.at).Seconds(); !h.at.IsZero() && took > 0 && m.HostCPUSeconds >= h.seconds {
		h.hostCPU = h.hostCPU.Add((m.HostCPUSeconds - h.seconds) / took)
	}
	h.seconds, h.at = m.HostCPUSeconds, at
}

func (n *Nodes) historyOf(cluster, node string) *nodeHistory {
	key := cluster + "/" + node
	if n.history[key] == nil {
		n.history[key] = &nodeHistory{}
	}
	return n.history[key]
}

// Freshness is Dated's.
func (n *Nodes) Freshness() object.Freshness {
	return oldest(n.clusters, func(cluster string) object.Freshness { return n.tables[cluster].Freshness })
}

// refresh puts the nodes together anew.
func (n *Nodes) refresh(w *World) {
	n.nodes = nil
	for _, cluster := range n.clusters {
		var mine []nodeView
		for _, r := range n.tables[cluster].Rows {
			mine = append(mine, nodeView{cluster: cluster, name: r.Name, row: r})
		}
		for _, m := range w.Hosts[cluster].Nodes {
			i := slices.IndexFunc(mine, func(v nodeView) bool { return v.name == m.Name })
			if i < 0 {
				mine = append(mine, nodeView{cluster: cluster, name: m.Name})
				i = len(mine) - 1
			}
			mine[i].machine = m
		}
		on := podsByNode(n.pods[cluster])
		for i := range mine {
			mine[i].guest = n.guests[cluster].Nodes[mine[i].name]
			mine[i].use = n.usage[cluster].Nodes[mine[i].name]
			mine[i].pods = on[mine[i].name]
		}
		slices.SortFunc(mine, func(a, b nodeView) int { return strings.Compare(a.name, b.name) })
		n.nodes = append(n.nodes, mine...)
	}
	n.arrange(w)
}

func podsByNode(t object.Table) map[string]int {
	on := map[string]int{}
	at := slices.IndexFunc(t.Columns, func(c object.Column) bool { return c.Name == "Node" })
	for _, r := range t.Rows {
		if at >= 0 && at < len(r.Cells) {
			on[r.Cells[at]]++
		}
	}
	return on
}

// arrange makes the lines: with machines of ours, what the host knows of them.
func (n *Nodes) arrange(w *World) {
	several, ours := len(n.clusters) > 1, false
	for _, v := range n.nodes {
		ours = ours || v.machine.Name != ""
	}
	columns := []widget.Column{{Title: "Name", Min: 16}}
	if several {
		columns = append(columns, widget.Column{Title: "Cluster", Min: 8})
	}
	columns = append(columns, widget.Column{Title: "Status"}, widget.Column{Title: "Role", Min: 6})
	columns = append(columns, widget.Column{Title: "CPU", Right: true}, widget.Column{Title: "Memory", Right: true}, widget.Column{Title: "Pods", Right: true})
	if ours {
		columns = append(columns, widget.Column{Title: "On host", Right: true}, widget.Column{Title: "Disk", Right: true}, widget.Column{Title: "Up"})
	}
	if ours {
		columns = append(columns, widget.Column{Title: "Machine", Spare: true}, widget.Column{Title: "Driver", Spare: true})
	}
	columns = append(columns, widget.Column{Title: "Taints", Spare: true}, widget.Column{Title: "Address", Spare: true}, widget.Column{Title: "Version", Spare: true}, widget.Column{Title: "Age", Spare: true})
	n.table.SetColumns(columns)
	var lines []gridLine
	for i, v := range n.nodes {
		if n.faults && n.well(v) {
			continue
		}
		cells := []cell{{v.name, theme.Accent}}
		if several {
			cells = append(cells, dimCell(v.cluster))
		}
		cells = append(cells, stateCell(n.status(v)), plainCell(v.role(n)), plainCell(v.cpu()), plainCell(v.memory()), plainCell(strconv.Itoa(v.pods)))
		if ours {
			cells = append(cells, plainCell(v.onHost()), plainCell(v.disk()), dimCell(v.up(w)))
		}
		age := "-"
		if v.row != nil {
			age = object.Age(v.row.Created, w.Now)
		}
		if ours {
			cells = append(cells, stateCell(v.machine.Machine), dimCell(w.Hosts[v.cluster].Driver))
		}
		cells = append(cells, taintCell(v), dimCell(v.address(n)), dimCell(n.cell(v, "Version")), dimCell(age))
		lines = append(lines, gridLine{key: v.cluster + "/" + v.name, at: i, cells: cells})
	}
	n.set(lines)
}

// cell of a node in the server's table.
func (n *Nodes) cell(v nodeView, column string) string {
	if v.row == nil {
		return ""
	}
	for i, c := range n.tables[v.cluster].Columns {
		if c.Name == column && i < len(v.row.Cells) {
			return v.row.Cells[i]
		}
	}
	return ""
}

// status is the first thing that is wrong with a node, or that it is Ready.
func (n *Nodes) status(v nodeView) string {
	if v.machine.Name != "" {
		if state := v.machine.Condition(); state != "Ready" && state != "NotReady" && state != "Unknown" {
			return state
		}
	}
	switch {
	case v.row != nil:
		return n.cell(v, "Status")
	case n.tables[v.cluster].State == object.Live:
		return "not registered"
	}
	return v.machine.Condition() // Kubernetes has not answered yet
}

// well says that nothing is wrong with a node that anyone knows of.
func (n *Nodes) well(v nodeView) bool {
	if n.status(v) != "Ready" || len(v.guest.Problems)+len(v.guest.Alarms) > 0 {
		return false
	}
	return v.row == nil || !slices.ContainsFunc(v.row.Conditions, func(c object.Condition) bool { return !c.Well() })
}

func (v nodeView) role(n *Nodes) string {
	if v.machine.Role != "" {
		return v.machine.Role
	}
	return n.cell(v, "Roles")
}

func (v nodeView) address(n *Nodes) string {
	if v.machine.Address != "" {
		return v.machine.Address
	}
	return n.cell(v, "Internal-IP")
}

func (v nodeView) cpu() string {
	of := ""
	if v.machine.CPUs > 0 {
		of = fmt.Sprintf("/%d", v.machine.CPUs)
	}
	if v.use.At.IsZero() {
		return "-" + of
	}
	return fmt.Sprintf("%.2f", float64(v.use.MilliCPU)/1000) + of
}

// memory that is in use in the guest, of how much.
func (v nodeView) memory() string {
	all := int64(v.machine.MemoryMiB) << 20
	used := v.use.MemoryBytes
	if v.guest.MemoryTotalKiB > 0 {
		all, used = v.guest.MemoryTotalKiB<<10, (v.guest.MemoryTotalKiB-v.guest.MemoryAvailableKiB)<<10
	}
	switch {
	case used == 0 && all == 0:
		return "-"
	case used == 0:
		return "-/" + bytes(all)
	case all == 0:
		return bytes(used)
	}
	return bytes(used) + "/" + bytes(all)
}

func (v nodeView) onHost() string {
	if v.machine.HostMemoryMiB == 0 {
		return "-"
	}
	return bytes(int64(v.machine.HostMemoryMiB) << 20)
}

func (v nodeView) disk() string {
	if v.machine.DiskUsedBytes == 0 {
		return "-"
	}
	return bytes(v.machine.DiskUsedBytes)
}

func (v nodeView) up(w *World) string {
	if v.machine.Machine != "running" {
		return "-"
	}
	return object.Age(v.machine.Started, w.Now)
}

// taintCell counts a node's taints: what they are is below the table.
func taintCell(v nodeView) cell {
	if v.row == nil || len(v.row.Taints) == 0 {
		return dimCell("-")
	}
	return cell{strconv.Itoa(len(v.row.Taints)), theme.Warn}
}

func (v nodeView) ref() object.Ref {
	return object.Ref{Cluster: v.cluster, Resource: object.Nodes, Name: v.name}
}

// Current is the node under the cursor, if Kubernetes knows it.
func (n *Nodes) Current() (object.Ref, bool) {
	at := n.at()
	if at < 0 || at >= len(n.nodes) || n.nodes[at].row == nil {
		return object.Ref{}, false
	}
	return n.nodes[at].ref(), true
}
