package screen

import (
	"slices"

	"github.com/skiff-dev/skiff/tui/feed"
	"github.com/skiff-dev/skiff/tui/keys"
	"github.com/skiff-dev/skiff/tui/object"
	"github.com/skiff-dev/skiff/tui/theme"
	"github.com/skiff-dev/skiff/tui/widget"
)

// Namespaces chooses which namespaces all screens show: one, several or all.
type Namespaces struct {
	grid
	clusters []string
	tables   map[string]object.Table
	names    []string
	chosen   map[string]bool
}

// NewNamespaces returns the screen.
func NewNamespaces(w *World) *Namespaces {
	n := &Namespaces{clusters: w.Clusters, tables: map[string]object.Table{}, chosen: map[string]bool{}, grid: newGrid(
		widget.Column{Title: "Namespace", Min: 20}, widget.Column{Title: "Status"}, widget.Column{Title: "Age"},
	)}
	for _, name := range w.Namespaces {
		n.chosen[name] = true
	}
	n.refresh(w)
	return n
}

// Crumb is Screen's.
func (n *Namespaces) Crumb() string { return "select namespaces" }

// Title is Screen's.
func (n *Namespaces) Title() string {
	return "Select namespaces  space selects several, ⏎ applies"
}

// Scopes is Screen's.
func (n *Namespaces) Scopes() []keys.Scope { return []keys.Scope{keys.Choosing, keys.List} }

// Needs is Screen's.
func (n *Namespaces) Needs() []feed.Need {
	var needs []feed.Need
	for _, cluster := range n.clusters {
		needs = append(needs, feed.Objects{Cluster: cluster, Resource: object.Namespaces})
	}
	return needs
}

// Take is Screen's.
func (n *Namespaces) Take(w *World, delivery any) {
	if t, ok := delivery.(object.Table); ok && t.Resource.ID() == "namespaces" {
		n.tables[t.Cluster] = t
		n.refresh(w)
	}
}

func (n *Namespaces) refresh(w *World) {
	known := map[string]cell{}
	ages := map[string]string{}
	for _, cluster := range n.clusters {
		for _, r := range n.tables[cluster].Rows {
			known[r.Name] = stateCell("Active")
			if r.Deleting {
				known[r.Name] = stateCell("Terminating")
			}
			ages[r.Name] = object.Age(r.Created, w.Now)
		}
	}
	n.names = n.names[:0]
	for name := range known {
		n.names = append(n.names, name)
	}
	slices.Sort(n.names)
	lines := []gridLine{{key: " all", at: -1, cells: []cell{{"all namespaces", theme.Title}}}}
	for i, name := range n.names {
		mark := cell{"○ " + name, theme.Accent}
		if n.chosen[name] {
			mark = cell{"● " + name, theme.Marked}
		}
		lines = append(lines, gridLine{key: name, at: i, cells: []cell{mark, known[name], dimCell(ages[name])}})
	}
	n.set(lines)
}

// Act is Screen's.
func (n *Namespaces) Act(w *World, a keys.Action) []Request {
	if scroll(n.table, a) {
		return nil
	}
	row := n.table.Row()
	if row < 0 {
		return nil
	}
	at := n.lines[row].at
	switch a {
	case keys.Mark:
		if at >= 0 {
			n.chosen[n.names[at]] = !n.chosen[n.names[at]]
		} else {
			clear(n.chosen)
		}
		n.refresh(w)
		n.table.Move(1)
	case keys.Copy:
		if at >= 0 {
			return []Request{CopyText{What: n.names[at], Text: n.names[at]}}
		}
		return say("select a single namespace to copy its name")
	case keys.Enter:
		chosen := []string{}
		for _, name := range n.names {
			if n.chosen[name] {
				chosen = append(chosen, name)
			}
		}
		if at < 0 {
			chosen = []string{}
		} else if len(chosen) < 2 {
			chosen = []string{n.names[at]}
		}
		return []Request{Pop{}, Choose{Namespaces: chosen}}
	}
	return nil
}

// View is Screen's.
func (n *Namespaces) View(w *World, width, height int) []string {
	return n.table.View(w.Theme, width, height)
}
