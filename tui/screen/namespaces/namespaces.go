// Package namespaces is the screen on which the user selects the namespaces that
// all screens show: one, several or all.
package namespaces

import (
	"slices"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
	"github.com/skiff-dev/skiff/tui/keys"
	"github.com/skiff-dev/skiff/tui/screen"
	"github.com/skiff-dev/skiff/tui/screen/grid"
	"github.com/skiff-dev/skiff/tui/theme"
	"github.com/skiff-dev/skiff/tui/widget"
)

// Screen selects namespaces.
type Screen struct {
	grid.Grid
	clusters []string
	tables   map[string]object.Table
	names    []string
	selected map[string]bool
}

// New returns the screen with the current selection.
func New(w *screen.World) *Screen {
	s := &Screen{clusters: w.Clusters, tables: map[string]object.Table{}, selected: map[string]bool{}, Grid: grid.New(
		widget.Column{Title: "Namespace", Min: 20}, widget.Column{Title: "Status"}, widget.Column{Title: "Age"},
	)}
	for _, name := range w.Namespaces {
		s.selected[name] = true
	}
	s.refresh(w)
	return s
}

// Crumb implements screen.Screen.
func (s *Screen) Crumb() string { return "select namespaces" }

// Title implements screen.Screen.
func (s *Screen) Title() string { return "Select namespaces  space selects several, ⏎ applies" }

// Scopes implements screen.Screen.
func (s *Screen) Scopes() []keys.Scope { return []keys.Scope{keys.Selection, keys.List} }

// Needs implements screen.Screen.
func (s *Screen) Needs() []feed.Need {
	var needs []feed.Need
	for _, cluster := range s.clusters {
		needs = append(needs, feed.Objects{Cluster: cluster, Resource: object.Namespaces})
	}
	return needs
}

// Take implements screen.Screen.
func (s *Screen) Take(w *screen.World, delivery any) {
	if t, ok := delivery.(object.Table); ok && t.Resource.ID() == object.Namespaces.ID() {
		s.tables[t.Cluster] = t
		s.refresh(w)
	}
}

func (s *Screen) refresh(w *screen.World) {
	status, ages := map[string]grid.Cell{}, map[string]string{}
	for _, cluster := range s.clusters {
		for _, r := range s.tables[cluster].Rows {
			status[r.Name] = grid.State("Active")
			if r.Deleting {
				status[r.Name] = grid.State("Terminating")
			}
			ages[r.Name] = object.Age(r.Created, w.Now)
		}
	}
	s.names = s.names[:0]
	for name := range status {
		s.names = append(s.names, name)
	}
	slices.Sort(s.names)
	lines := []grid.Line{{Key: " all", At: -1, Cells: []grid.Cell{{Text: "all namespaces", Tone: theme.Title}}}}
	for i, name := range s.names {
		mark := grid.Cell{Text: "○ " + name, Tone: theme.Accent}
		if s.selected[name] {
			mark = grid.Cell{Text: "● " + name, Tone: theme.Marked}
		}
		lines = append(lines, grid.Line{Key: name, At: i, Cells: []grid.Cell{mark, status[name], grid.Dim(ages[name])}})
	}
	s.Set(lines)
}

// Act implements screen.Screen.
func (s *Screen) Act(w *screen.World, a keys.Action) []screen.Request {
	if s.Table.Act(a) || s.Table.Row() < 0 {
		return nil
	}
	at := s.At()
	switch a {
	case keys.Mark:
		if at >= 0 {
			s.selected[s.names[at]] = !s.selected[s.names[at]]
		} else {
			clear(s.selected)
		}
		s.refresh(w)
		s.Table.Move(1)
	case keys.Copy:
		if at < 0 {
			return screen.Message("move to a single namespace to copy its name")
		}
		return screen.Copy(s.names[at])
	case keys.Enter:
		return []screen.Request{screen.Pop{}, screen.Choose{Namespaces: s.choice(at)}}
	}
	return nil
}

// choice returns the selected namespaces if there are several, and otherwise the
// one under the cursor. An empty choice means all namespaces.
func (s *Screen) choice(at int) []string {
	if at < 0 {
		return []string{}
	}
	var selected []string
	for _, name := range s.names {
		if s.selected[name] {
			selected = append(selected, name)
		}
	}
	if len(selected) < 2 {
		return []string{s.names[at]}
	}
	return selected
}

// View implements screen.Screen.
func (s *Screen) View(w *screen.World, width, height int) []string {
	return s.Table.View(w.Theme, width, height)
}
