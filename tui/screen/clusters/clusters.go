// Package clusters is the screen that shows the clusters on this host and the
// resources that their machines take from it.
package clusters

import (
	"fmt"
	"slices"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
	"github.com/skiff-dev/skiff/tui/keys"
	"github.com/skiff-dev/skiff/tui/screen"
	"github.com/skiff-dev/skiff/tui/screen/format"
	"github.com/skiff-dev/skiff/tui/screen/grid"
	"github.com/skiff-dev/skiff/tui/theme"
	"github.com/skiff-dev/skiff/tui/widget"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// Screen shows clusters.
type Screen struct {
	grid.Grid
	clusters feed.Clusters
	memory   map[string]widget.Series
	selected map[string]bool
	// draft holds the values of the last cluster that the user tried to create,
	// so that they are not lost if skiff refuses them.
	draft map[string]string
}

// New returns the screen.
func New(w *screen.World) *Screen {
	s := &Screen{memory: map[string]widget.Series{}, selected: map[string]bool{}, Grid: grid.New(
		widget.Column{Title: "Cluster", Min: 12}, widget.Column{Title: "State"}, widget.Column{Title: "Nodes", Right: true},
		widget.Column{Title: "API"}, widget.Column{Title: "Kubernetes"}, widget.Column{Title: "Machines", Min: 8},
		widget.Column{Title: "Memory", Right: true}, widget.Column{Title: "Disk", Right: true}, widget.Column{Title: "Server", Spare: true},
	)}
	for _, name := range w.Clusters {
		s.selected[name] = true
		s.Table.Select(name)
	}
	return s
}

// Resume implements screen.Resumer.
func (s *Screen) Resume(earlier screen.Screen) {
	if e, ok := earlier.(*Screen); ok {
		s.memory, s.draft = e.memory, e.draft
	}
}

// Crumb implements screen.Screen.
func (s *Screen) Crumb() string { return "clusters" }

// Title implements screen.Screen.
func (s *Screen) Title() string {
	running := 0
	for _, c := range s.clusters.All {
		if c.Phase == "running" {
			running++
		}
	}
	return fmt.Sprintf("Clusters on this host  %d, %d running", len(s.clusters.All), running)
}

// Scopes implements screen.Screen.
func (s *Screen) Scopes() []keys.Scope { return []keys.Scope{keys.Clusters, keys.List} }

// Needs implements screen.Screen.
func (s *Screen) Needs() []feed.Need { return []feed.Need{feed.Host{}} }

// Freshness implements screen.Dated.
func (s *Screen) Freshness() object.Freshness { return s.clusters.Freshness }

// Take implements screen.Screen.
func (s *Screen) Take(_ *screen.World, delivery any) {
	d, ok := delivery.(feed.Clusters)
	if !ok {
		return
	}
	s.clusters = d
	for _, c := range d.All {
		memory, _ := usage(c)
		s.memory[c.Name] = s.memory[c.Name].Add(float64(memory))
	}
	s.refresh()
}

// usage returns the memory and disk space that a cluster's machines take from
// the host.
func usage(c daemonapi.ClusterStatus) (memoryBytes, diskBytes int64) {
	for _, n := range c.Nodes {
		memoryBytes += int64(n.HostMemoryMiB) << 20
		diskBytes += n.DiskUsedBytes
	}
	return memoryBytes, diskBytes
}

// atRest reports whether a cluster is meant not to run.
func atRest(c daemonapi.ClusterStatus) bool { return c.Phase == "stopped" || c.Phase == "paused" }

// nodesCell returns how many nodes are ready. That is no warning if the cluster
// is not meant to run.
func nodesCell(c daemonapi.ClusterStatus) grid.Cell {
	ready := 0
	for _, n := range c.Nodes {
		if n.Ready == "True" && n.Machine == "running" {
			ready++
		}
	}
	text := fmt.Sprintf("%d/%d", ready, len(c.Nodes))
	if atRest(c) {
		return grid.Dim(text)
	}
	return grid.Cell{Text: text, Tone: format.RatioTone(text)}
}

func apiCell(c daemonapi.ClusterStatus) grid.Cell {
	switch {
	case c.APIReady:
		return grid.Cell{Text: "ready", Tone: theme.Good}
	case atRest(c):
		return grid.Dim("-")
	}
	return grid.Cell{Text: "not ready", Tone: theme.Warn}
}

func (s *Screen) refresh() {
	var lines []grid.Line
	for i, c := range s.clusters.All {
		memory, disk := usage(c)
		name := "  " + c.Name
		if s.selected[c.Name] {
			name = "● " + c.Name
		}
		lines = append(lines, grid.Line{Key: c.Name, At: i, Cells: []grid.Cell{
			{Text: name, Tone: theme.Accent}, grid.State(c.PhaseText()), nodesCell(c), apiCell(c), grid.Plain(c.Kubernetes),
			grid.Plain(format.Machines(c)), grid.Plain(format.Known(memory)), grid.Plain(format.Known(disk)), grid.Dim(c.Server),
		}})
	}
	s.Set(lines)
}

// Act implements screen.Screen.
func (s *Screen) Act(_ *screen.World, a keys.Action) []screen.Request {
	if s.Table.Act(a) {
		return nil
	}
	if a == keys.Create {
		return s.createForm()
	}
	at := s.At()
	if at < 0 || at >= len(s.clusters.All) {
		return nil
	}
	c := s.clusters.All[at]
	switch a {
	case keys.Mark:
		s.selected[c.Name] = !s.selected[c.Name]
		s.refresh()
		s.Table.Move(1)
	case keys.Enter:
		return s.enter(c)
	case keys.Copy:
		return screen.Copy(c.Name)
	}
	return operate(a, c)
}

// enter shows the selected clusters together, or the one under the cursor.
func (s *Screen) enter(c daemonapi.ClusterStatus) []screen.Request {
	names := []string{}
	for _, known := range s.clusters.All {
		if s.selected[known.Name] {
			names = append(names, known.Name)
		}
	}
	if !slices.Contains(names, c.Name) || len(names) < 2 {
		names = []string{c.Name}
		s.selected = map[string]bool{c.Name: true}
		s.refresh()
	}
	return []screen.Request{screen.Choose{Clusters: names}, screen.Open{To: screen.Nodes{}}}
}
