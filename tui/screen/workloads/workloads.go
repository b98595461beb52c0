// Package workloads is the screen that shows the workloads of all kinds in one
// table.
package workloads

import (
	"fmt"
	"slices"
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

// Screen shows workloads.
type Screen struct {
	grid.Grid
	clusters, namespaces []string
	selected             []string                // the namespaces selected for all screens
	own                  []string                // namespaces in place of these, or nil
	tables               map[string]object.Table // by cluster and resource
	items                []workload
	unhealthy            bool // show unhealthy workloads only
}

// workload is a row and its table.
type workload struct {
	row *object.Row
	in  object.Table
}

// New returns the screen for the given namespaces, or for the selected ones if
// namespaces is nil.
func New(w *screen.World, namespaces []string) *Screen {
	s := &Screen{own: namespaces, selected: w.Namespaces, tables: map[string]object.Table{}, Grid: grid.New()}
	s.Rechoose(w)
	return s
}

// Rechoose implements screen.Chooser.
func (s *Screen) Rechoose(w *screen.World) {
	if !slices.Equal(s.selected, w.Namespaces) {
		s.own = nil // the newer selection wins
	}
	namespaces := w.Namespaces
	if s.own != nil {
		namespaces = s.own
	}
	if !slices.Equal(s.clusters, w.Clusters) || !slices.Equal(s.namespaces, namespaces) {
		clear(s.tables)
	}
	s.selected, s.clusters, s.namespaces = w.Namespaces, w.Clusters, namespaces
	s.refresh(w)
}

// Start implements screen.Remembered.
func (s *Screen) Start() (view string, resource object.Resource) {
	return "workloads", object.Resource{}
}

// Crumb implements screen.Screen.
func (s *Screen) Crumb() string { return "workloads" }

// Title implements screen.Screen.
func (s *Screen) Title() string {
	at, _ := s.Table.Where()
	return fmt.Sprintf("Workloads %s  %d/%d", format.InNamespaces(s.namespaces), at, len(s.Lines)) + format.Selection(s.Table.Marks(), s.unhealthy)
}

// Scopes implements screen.Screen. The scopes depend on the kind under the
// cursor.
func (s *Screen) Scopes() []keys.Scope {
	var scopes []keys.Scope
	if at := s.At(); at >= 0 {
		scopes = slices.Clone(kind.Of(s.items[at].in.Resource).Scopes)
	}
	return append(scopes, keys.Objects, keys.Rows, keys.Namespaced, keys.List)
}

// Needs implements screen.Screen.
func (s *Screen) Needs() []feed.Need {
	var needs []feed.Need
	for _, cluster := range s.clusters {
		for _, r := range kind.Workloads() {
			needs = append(needs, feed.Objects{Cluster: cluster, Resource: r, Namespaces: s.namespaces})
		}
	}
	return needs
}

// Take implements screen.Screen.
func (s *Screen) Take(w *screen.World, delivery any) {
	if t, ok := delivery.(object.Table); ok {
		s.tables[t.Cluster+" "+t.Resource.ID()] = t
		s.refresh(w)
	}
}

// Freshness implements screen.Dated.
func (s *Screen) Freshness() object.Freshness {
	var sources []string
	for _, cluster := range s.clusters {
		for _, r := range kind.Workloads() {
			sources = append(sources, cluster+" "+r.ID())
		}
	}
	return object.Stalest(sources, func(source string) object.Freshness { return s.tables[source].Freshness })
}

func (s *Screen) refresh(w *screen.World) {
	s.items = s.items[:0]
	for _, cluster := range s.clusters {
		for _, r := range kind.Workloads() {
			t := s.tables[cluster+" "+r.ID()]
			for _, row := range t.Rows {
				s.items = append(s.items, workload{row, t})
			}
		}
	}
	slices.SortStableFunc(s.items, func(a, b workload) int {
		return strings.Compare(a.row.Cluster+"/"+a.row.Namespace, b.row.Cluster+"/"+b.row.Namespace)
	})
	var columns []widget.Column
	if len(s.clusters) > 1 {
		columns = append(columns, widget.Column{Title: "Cluster", Min: 8})
	}
	if len(s.namespaces) != 1 {
		columns = append(columns, widget.Column{Title: "Namespace", Min: 8})
	}
	s.Table.SetColumns(append(columns, widget.Column{Title: "Kind"}, widget.Column{Title: "Name", Min: 16}, widget.Column{Title: "Ready"},
		widget.Column{Title: "Status"}, widget.Column{Title: "Age"}, widget.Column{Title: "Images", Min: 16, Spare: true}))
	var lines []grid.Line
	for i, item := range s.items {
		if !s.unhealthy || format.Health(item.in, item.row) != theme.Good {
			lines = append(lines, s.line(w, i, item))
		}
	}
	s.Set(lines)
}

func (s *Screen) line(w *screen.World, i int, item workload) grid.Line {
	var cells []grid.Cell
	if len(s.clusters) > 1 {
		cells = append(cells, grid.Dim(item.row.Cluster))
	}
	if len(s.namespaces) != 1 {
		cells = append(cells, grid.Dim(item.row.Namespace))
	}
	ready, status := item.state()
	return grid.Line{Key: item.in.Resource.ID() + " " + item.row.Key(), At: i, Labels: item.row.Labels, Cells: append(cells,
		grid.Plain(item.in.Resource.Kind), grid.Cell{Text: item.row.Name, Tone: theme.Accent}, grid.Cell{Text: ready, Tone: format.RatioTone(ready)},
		grid.State(status), grid.Dim(object.Age(item.row.Created, w.Now)), grid.Dim(item.in.Cell(item.row, "Images")),
	)}
}

// state returns how many pods are ready, and a word for the state.
func (item workload) state() (ready, status string) {
	of := kind.Of(item.in.Resource).Workload
	ready = of.Ready(item.in, item.row)
	got, desired, _ := strings.Cut(ready, "/")
	switch {
	case item.row.Deleting:
		return ready, "Terminating"
	case of.Status != nil:
		return ready, of.Status(item.in, item.row)
	case desired == "0":
		return ready, "scaled to 0"
	case got == desired:
		return ready, "Available"
	}
	return ready, "Progressing"
}

func (item workload) ref() object.Ref {
	return object.Ref{Cluster: item.row.Cluster, Resource: item.in.Resource, Namespace: item.row.Namespace, Name: item.row.Name, UID: item.row.UID}
}

// Current returns the object under the cursor.
func (s *Screen) Current() (object.Ref, bool) {
	if at := s.At(); at >= 0 {
		return s.items[at].ref(), true
	}
	return object.Ref{}, false
}

// Act implements screen.Screen.
func (s *Screen) Act(w *screen.World, a keys.Action) []screen.Request {
	if s.Table.Act(a) || s.Table.ActMark(a) {
		return nil
	}
	switch a {
	case keys.Unhealthy:
		s.unhealthy = !s.unhealthy
		s.refresh(w)
		return nil
	case keys.PickNamespaces:
		return screen.Show(screen.Namespaces{})
	case keys.AllNamespaces:
		s.own = nil
		return []screen.Request{screen.Choose{Namespaces: []string{}}}
	}
	if at := s.At(); at >= 0 {
		return kind.Act(w, a, s.aim(at, a))
	}
	return nil
}

// aim returns what an action applies to. Objects of all kinds can be deleted
// together; other actions apply to the marked objects of the cursor's kind.
func (s *Screen) aim(at int, a keys.Action) kind.Aim {
	aim := kind.Aim{Ref: s.items[at].ref()}
	for _, i := range s.Marked() {
		if ref := s.items[i].ref(); a == keys.Delete || ref.Resource.ID() == aim.Ref.Resource.ID() {
			aim.Refs = append(aim.Refs, ref)
		}
	}
	if len(aim.Refs) == 0 {
		aim.Refs = []object.Ref{aim.Ref}
	}
	return aim
}

// View implements screen.Screen.
func (s *Screen) View(w *screen.World, width, height int) []string {
	return s.Grid.View(w, width, height, s.Freshness(), "no workloads found")
}
