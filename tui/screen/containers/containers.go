// Package containers is the screen that shows the containers of a pod.
package containers

import (
	"fmt"
	"strings"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
	"github.com/skiff-dev/skiff/tui/keys"
	"github.com/skiff-dev/skiff/tui/screen"
	"github.com/skiff-dev/skiff/tui/screen/format"
	"github.com/skiff-dev/skiff/tui/screen/grid"
	"github.com/skiff-dev/skiff/tui/screen/kind"
	"github.com/skiff-dev/skiff/tui/theme"
	"github.com/skiff-dev/skiff/tui/widget"
)

// Screen shows the containers of a pod.
type Screen struct {
	grid.Grid
	pod        object.Ref
	containers feed.Containers
	usage      feed.Stats
}

// New returns the screen of a pod's containers.
func New(pod object.Ref) *Screen {
	return &Screen{pod: pod, Grid: grid.New(
		widget.Column{Title: "Name", Min: 12}, widget.Column{Title: "Kind", Spare: true}, widget.Column{Title: "Ready"}, widget.Column{Title: "State", Min: 18},
		widget.Column{Title: "Restarts", Right: true}, widget.Column{Title: "CPU", Right: true}, widget.Column{Title: "Memory", Right: true},
		widget.Column{Title: "Requests", Spare: true}, widget.Column{Title: "Limits", Spare: true}, widget.Column{Title: "Ports", Spare: true},
		widget.Column{Title: "Probes", Spare: true}, widget.Column{Title: "Age"}, widget.Column{Title: "Image", Min: 10},
	)}
}

// Crumb implements screen.Screen.
func (s *Screen) Crumb() string { return s.pod.Name }

// Title implements screen.Screen.
func (s *Screen) Title() string {
	return "Containers of " + s.pod.String() + "  " + format.Count(len(s.containers.All), "container", "containers")
}

// Scopes implements screen.Screen.
func (s *Screen) Scopes() []keys.Scope {
	return []keys.Scope{keys.Containers, keys.Objects, keys.List}
}

// Needs implements screen.Screen.
func (s *Screen) Needs() []feed.Need {
	return []feed.Need{feed.PodContainers{Pod: s.pod}, feed.Usage{Cluster: s.pod.Cluster}}
}

// Freshness implements screen.Dated.
func (s *Screen) Freshness() object.Freshness { return s.containers.Freshness }

// Take implements screen.Screen.
func (s *Screen) Take(w *screen.World, delivery any) {
	switch d := delivery.(type) {
	case feed.Containers:
		s.containers = d
	case feed.Stats:
		s.usage = d
	}
	var lines []grid.Line
	for i, c := range s.containers.All {
		lines = append(lines, s.line(w, i, c))
	}
	s.Set(lines)
}

func (s *Screen) line(w *screen.World, i int, c feed.Container) grid.Line {
	ready := grid.Cell{Text: "no", Tone: theme.Warn}
	switch {
	case c.Ready:
		ready = grid.Cell{Text: "yes", Tone: theme.Good}
	case c.Ended:
		ready = grid.Dim("-")
	}
	restarts := grid.Dim("0")
	if c.Restarts > 0 {
		restarts = grid.Cell{Text: fmt.Sprint(c.Restarts), Tone: theme.Warn}
	}
	cpu, memory := grid.Dim("-"), grid.Dim("-")
	if use := s.usage.Containers[s.pod.Namespace+"/"+s.pod.Name+"/"+c.Name]; use.MemoryBytes > 0 {
		cpu, memory = grid.Plain(fmt.Sprintf("%dm", use.MilliCPU)), grid.Plain(format.Bytes(use.MemoryBytes))
	}
	return grid.Line{Key: c.Name, At: i, Cells: []grid.Cell{
		{Text: c.Name, Tone: theme.Accent}, grid.Dim(c.Kind), ready, grid.State(c.State), restarts, cpu, memory, grid.Plain(c.Requests),
		grid.Plain(c.Limits), grid.Plain(strings.Join(c.Ports, ", ")), grid.Plain(c.Probes), grid.Dim(object.Age(c.Since, w.Now)), grid.Dim(c.Image),
	}}
}

// Current returns the pod.
func (s *Screen) Current() (object.Ref, bool) { return s.pod, true }

// Act implements screen.Screen.
func (s *Screen) Act(w *screen.World, a keys.Action) []screen.Request {
	if s.Table.Act(a) {
		return nil
	}
	if at := s.At(); at >= 0 {
		return kind.ActOnContainer(w, a, s.pod, s.containers.All[at].Name)
	}
	return nil
}

// View implements screen.Screen.
func (s *Screen) View(w *screen.World, width, height int) []string {
	return s.Grid.View(w, width, height, s.containers.Freshness, "no containers found")
}
