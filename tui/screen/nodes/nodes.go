// Package nodes is the screen that shows the nodes of the selected clusters, both
// as Kubernetes reports them and as the machines that they are.
package nodes

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/tui/keys"
	"github.com/skiff-dev/skiff/tui/screen"
	"github.com/skiff-dev/skiff/tui/screen/format"
	"github.com/skiff-dev/skiff/tui/screen/grid"
	"github.com/skiff-dev/skiff/tui/widget"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// Screen shows nodes.
type Screen struct {
	grid.Grid
	clusters  []string
	tables    map[string]object.Table
	pods      map[string]object.Table
	usage     map[string]feed.Stats
	guests    map[string]feed.MachineStatus
	nodes     []node
	history   map[string]*history // by cluster and node
	unhealthy bool                // show unhealthy nodes only
}

// node joins what Kubernetes, the host and the guest report about one node.
type node struct {
	cluster, name string
	table         object.Table         // the table of row
	row           *object.Row          // nil if the node is not registered
	machine       daemonapi.NodeStatus // without a name if the node is not a machine of this host
	guest         nodeapi.Status
	use           feed.ResourceUsage
	pods          int
}

// history holds measurements inside a node, and of its machine on the host.
type history struct {
	cpu, memory, disk, received, sent widget.Series
	hostCPU, hostMemory, hostDisk     widget.Series
	cpuSeconds                        float64   // CPU time of the machine at the last measurement
	at                                time.Time // of the last measurement, or zero
}

// New returns the screen. Select is the key of the row to put the cursor on.
func New(w *screen.World, to screen.Nodes) *Screen {
	s := &Screen{
		tables: map[string]object.Table{}, pods: map[string]object.Table{}, usage: map[string]feed.Stats{}, guests: map[string]feed.MachineStatus{},
		history: map[string]*history{}, Grid: grid.New(),
	}
	s.Rechoose(w)
	if to.Select != "" {
		s.Table.Select(to.Select)
	}
	return s
}

// Rechoose implements screen.Chooser.
func (s *Screen) Rechoose(w *screen.World) {
	s.clusters = w.Clusters
	s.refresh(w)
}

// Resume implements screen.Resumer.
func (s *Screen) Resume(earlier screen.Screen) {
	if e, ok := earlier.(*Screen); ok {
		s.history = e.history
	}
}

// Start implements screen.Remembered.
func (s *Screen) Start() (view string, resource object.Resource) { return "nodes", object.Resource{} }

// Crumb implements screen.Screen.
func (s *Screen) Crumb() string { return "nodes" }

// Title implements screen.Screen.
func (s *Screen) Title() string {
	return "Nodes of " + strings.Join(format.Few(s.clusters, 3), ", ") + "  " + strconv.Itoa(len(s.nodes)) +
		format.Selection(s.Table.Marks(), s.unhealthy)
}

// Scopes implements screen.Screen.
func (s *Screen) Scopes() []keys.Scope {
	return []keys.Scope{keys.Nodes, keys.Objects, keys.Rows, keys.List}
}

// Needs implements screen.Screen.
func (s *Screen) Needs() []feed.Need {
	needs := []feed.Need{feed.Host{}}
	for _, cluster := range s.clusters {
		needs = append(needs,
			feed.Objects{Cluster: cluster, Resource: object.Nodes}, feed.Objects{Cluster: cluster, Resource: object.Pods},
			feed.Usage{Cluster: cluster}, feed.Machines{Cluster: cluster})
	}
	return needs
}

// Take implements screen.Screen.
func (s *Screen) Take(w *screen.World, delivery any) {
	switch d := delivery.(type) {
	case object.Table:
		switch d.Resource.ID() {
		case object.Nodes.ID():
			s.tables[d.Cluster] = d
		case object.Pods.ID():
			s.pods[d.Cluster] = d
		}
	case feed.Stats:
		s.usage[d.Cluster] = d
		for name, use := range d.Nodes {
			h := s.historyOf(d.Cluster, name)
			h.cpu, h.memory = h.cpu.Add(float64(use.MilliCPU)), h.memory.Add(float64(use.MemoryBytes))
			h.received, h.sent = h.received.Add(use.ReceivedPerS), h.sent.Add(use.SentPerS)
		}
	case feed.MachineStatus:
		s.guests[d.Cluster] = d
		for name, guest := range d.Nodes {
			h := s.historyOf(d.Cluster, name)
			h.disk = h.disk.Add(float64(guest.DiskTotalBytes - guest.DiskFreeBytes))
		}
	case feed.Clusters:
		for _, c := range d.All {
			for _, m := range c.Nodes {
				s.historyOf(c.Name, m.Name).addHost(m, d.At)
			}
		}
	}
	s.refresh(w)
}

// addHost adds a measurement of a machine on the host.
func (h *history) addHost(m daemonapi.NodeStatus, at time.Time) {
	h.hostMemory = h.hostMemory.Add(float64(m.HostMemoryMiB))
	h.hostDisk = h.hostDisk.Add(float64(m.DiskUsedBytes))
	if elapsed := at.Sub(h.at).Seconds(); !h.at.IsZero() && elapsed > 0 && m.HostCPUSeconds >= h.cpuSeconds {
		h.hostCPU = h.hostCPU.Add((m.HostCPUSeconds - h.cpuSeconds) / elapsed)
	}
	h.cpuSeconds, h.at = m.HostCPUSeconds, at
}

func (s *Screen) historyOf(cluster, node string) *history {
	key := cluster + "/" + node
	if s.history[key] == nil {
		s.history[key] = &history{}
	}
	return s.history[key]
}

// Freshness implements screen.Dated.
func (s *Screen) Freshness() object.Freshness {
	return object.Stalest(s.clusters, func(cluster string) object.Freshness { return s.tables[cluster].Freshness })
}

// refresh joins the deliveries into nodes.
func (s *Screen) refresh(w *screen.World) {
	s.nodes = nil
	for _, cluster := range s.clusters {
		var nodes []node
		table := s.tables[cluster]
		for _, r := range table.Rows {
			nodes = append(nodes, node{cluster: cluster, name: r.Name, table: table, row: r})
		}
		for _, m := range w.Hosts[cluster].Nodes {
			i := slices.IndexFunc(nodes, func(n node) bool { return n.name == m.Name })
			if i < 0 {
				nodes = append(nodes, node{cluster: cluster, name: m.Name, table: table})
				i = len(nodes) - 1
			}
			nodes[i].machine = m
		}
		pods := podsByNode(s.pods[cluster])
		for i := range nodes {
			nodes[i].guest = s.guests[cluster].Nodes[nodes[i].name]
			nodes[i].use = s.usage[cluster].Nodes[nodes[i].name]
			nodes[i].pods = pods[nodes[i].name]
		}
		slices.SortFunc(nodes, func(a, b node) int { return strings.Compare(a.name, b.name) })
		s.nodes = append(s.nodes, nodes...)
	}
	s.arrange(w)
}

func podsByNode(t object.Table) map[string]int {
	pods := map[string]int{}
	for _, r := range t.Rows {
		pods[t.Cell(r, "Node")]++
	}
	return pods
}

// Current returns the node under the cursor if it is registered.
func (s *Screen) Current() (object.Ref, bool) {
	at := s.At()
	if at < 0 || at >= len(s.nodes) || s.nodes[at].row == nil {
		return object.Ref{}, false
	}
	return s.nodes[at].ref(), true
}
