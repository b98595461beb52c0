// Package resources is the screen that lists all resources of a cluster with
// their names and aliases.
package resources

import (
	"maps"
	"slices"
	"strings"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
	"github.com/skiff-dev/skiff/tui/keys"
	"github.com/skiff-dev/skiff/tui/screen"
	"github.com/skiff-dev/skiff/tui/screen/format"
	"github.com/skiff-dev/skiff/tui/screen/grid"
	"github.com/skiff-dev/skiff/tui/theme"
	"github.com/skiff-dev/skiff/tui/widget"
)

// Screen lists the resources that an API server serves.
type Screen struct {
	grid.Grid
	cluster   string
	aliases   map[string]string // the command that each alias stands for
	resources feed.Resources
}

// New returns the screen of the first selected cluster.
func New(w *screen.World, aliases map[string]string) *Screen {
	s := &Screen{aliases: aliases, Grid: grid.New(
		widget.Column{Title: "Name", Min: 16}, widget.Column{Title: "Short", Min: 8}, widget.Column{Title: "Kind", Min: 12},
		widget.Column{Title: "Group", Min: 8}, widget.Column{Title: "Version", Spare: true}, widget.Column{Title: "Namespaced", Spare: true},
	)}
	if len(w.Clusters) > 0 {
		s.cluster = w.Clusters[0]
	}
	return s
}

// Crumb implements screen.Screen.
func (s *Screen) Crumb() string { return "resources" }

// Title implements screen.Screen.
func (s *Screen) Title() string {
	return "Resources in " + s.cluster + "  " + format.Count(len(s.Lines), "resource", "resources")
}

// Scopes implements screen.Screen.
func (s *Screen) Scopes() []keys.Scope { return []keys.Scope{keys.List} }

// Needs implements screen.Screen.
func (s *Screen) Needs() []feed.Need { return []feed.Need{feed.Catalog{Cluster: s.cluster}} }

// Freshness implements screen.Dated.
func (s *Screen) Freshness() object.Freshness { return s.resources.Freshness }

// Take implements screen.Screen.
func (s *Screen) Take(_ *screen.World, delivery any) {
	d, ok := delivery.(feed.Resources)
	if !ok {
		return
	}
	s.resources = d
	var lines []grid.Line
	for i, r := range d.All {
		lines = append(lines, grid.Line{Key: r.ID(), At: i, Cells: []grid.Cell{
			{Text: r.Name, Tone: theme.Accent}, grid.Plain(strings.Join(s.names(r), ",")), grid.Plain(r.Kind), grid.Dim(r.Group), grid.Dim(r.Version),
			grid.Dim(map[bool]string{true: "yes", false: "no"}[r.Namespaced]),
		}})
	}
	s.Set(lines)
}

// names returns the short names and aliases of a resource.
func (s *Screen) names(r object.Resource) []string {
	names := slices.Clone(r.Short)
	for _, alias := range slices.Sorted(maps.Keys(s.aliases)) {
		if command := s.aliases[alias]; (command == r.Name || command == r.ID()) && !slices.Contains(names, alias) {
			names = append(names, alias)
		}
	}
	return names
}

// Act implements screen.Screen.
func (s *Screen) Act(_ *screen.World, a keys.Action) []screen.Request {
	at := s.At()
	if s.Table.Act(a) || at < 0 {
		return nil
	}
	switch r := s.resources.All[at]; a {
	case keys.Enter:
		return screen.Show(screen.Resource(r))
	case keys.Copy:
		return screen.Copy(r.ID())
	}
	return nil
}

// View implements screen.Screen.
func (s *Screen) View(w *screen.World, width, height int) []string {
	return s.Grid.View(w, width, height, s.resources.Freshness, "no resources found")
}
