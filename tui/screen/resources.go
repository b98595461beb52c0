package screen

import (
	"maps"
	"slices"
	"strings"

	"github.com/skiff-dev/skiff/tui/feed"
	"github.com/skiff-dev/skiff/tui/keys"
	"github.com/skiff-dev/skiff/tui/object"
	"github.com/skiff-dev/skiff/tui/theme"
	"github.com/skiff-dev/skiff/tui/widget"
)

// Resources lists all that the server serves, with all the names that go there.
type Resources struct {
	grid
	cluster string
	aliases map[string]string // commands by their other names
	all     feed.Resources
}

// NewResources returns the screen. Aliases are further names of commands.
func NewResources(w *World, aliases map[string]string) *Resources {
	r := &Resources{aliases: aliases, grid: newGrid(
		widget.Column{Title: "Name", Min: 16}, widget.Column{Title: "Short", Min: 8}, widget.Column{Title: "Kind", Min: 12},
		widget.Column{Title: "Group", Min: 8}, widget.Column{Title: "Version", Spare: true}, widget.Column{Title: "Namespaced", Spare: true},
	)}
	if len(w.Clusters) > 0 {
		r.cluster = w.Clusters[0]
	}
	return r
}

// Crumb is Screen's.
func (r *Resources) Crumb() string { return "resources" }

// Title is Screen's.
func (r *Resources) Title() string {
	return "Resources in " + r.cluster + "  " + count(len(r.lines), "resource", "resources")
}

// Scopes is Screen's.
func (r *Resources) Scopes() []keys.Scope { return []keys.Scope{keys.List} }

// Needs is Screen's.
func (r *Resources) Needs() []feed.Need { return []feed.Need{feed.Catalog{Cluster: r.cluster}} }

// Freshness is Dated's.
func (r *Resources) Freshness() object.Freshness { return r.all.Freshness }

// Take is Screen's.
func (r *Resources) Take(w *World, delivery any) {
	if d, ok := delivery.(feed.Resources); ok {
		r.all = d
		r.refresh(w)
	}
}

func (r *Resources) refresh(*World) {
	var lines []gridLine
	for i, one := range r.all.All {
		short := append([]string(nil), one.Short...)
		for _, alias := range slices.Sorted(maps.Keys(r.aliases)) {
			if command := r.aliases[alias]; (command == one.Name || command == one.ID()) && !slices.Contains(short, alias) {
				short = append(short, alias)
			}
		}
		lines = append(lines, gridLine{key: one.ID(), at: i, cells: []cell{
			{one.Name, theme.Accent}, plainCell(strings.Join(short, ",")), plainCell(one.Kind), dimCell(one.Group), dimCell(one.Version),
			dimCell(map[bool]string{true: "yes", false: "no"}[one.Namespaced]),
		}})
	}
	r.set(lines)
}

// Act is Screen's.
func (r *Resources) Act(w *World, a keys.Action) []Request {
	at := r.at()
	if scroll(r.table, a) || at < 0 {
		return nil
	}
	one := r.all.All[at]
	switch a {
	case keys.Enter:
		return Open(w, one)
	case keys.Copy:
		return []Request{CopyText{What: one.ID(), Text: one.ID()}}
	}
	return nil
}

// View is Screen's.
func (r *Resources) View(w *World, width, height int) []string {
	lines := r.table.View(w.Theme, width, height)
	if len(r.lines) > 0 {
		return lines
	}
	text := loading
	if len(r.all.All) > 0 {
		text = noMatch
	} else if r.all.Problem != "" {
		text = r.all.Problem
	}
	return append(lines, "", w.Theme.Paint(theme.Dim, "  "+text))
}
