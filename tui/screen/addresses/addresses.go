// Package addresses is the screen that lists where this host reaches the services
// of the selected clusters.
package addresses

import (
	"slices"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
	"github.com/skiff-dev/skiff/tui/keys"
	"github.com/skiff-dev/skiff/tui/screen"
	"github.com/skiff-dev/skiff/tui/screen/address"
	"github.com/skiff-dev/skiff/tui/screen/format"
	"github.com/skiff-dev/skiff/tui/screen/grid"
	"github.com/skiff-dev/skiff/tui/theme"
	"github.com/skiff-dev/skiff/tui/widget"
)

// Screen lists addresses.
type Screen struct {
	grid.Grid
	clusters, namespaces []string
	reach                map[string]feed.HostAddresses
	shown                []address.Address
}

// New returns the screen.
func New(w *screen.World) *Screen {
	s := &Screen{Grid: grid.New(), reach: map[string]feed.HostAddresses{}}
	s.Rechoose(w)
	return s
}

// Rechoose implements screen.Chooser.
func (s *Screen) Rechoose(w *screen.World) {
	s.clusters, s.namespaces = w.Clusters, w.Namespaces
	s.refresh()
}

// Crumb implements screen.Screen.
func (s *Screen) Crumb() string { return "addresses" }

// Title implements screen.Screen.
func (s *Screen) Title() string {
	return "Addresses on this host " + format.InNamespaces(s.namespaces) + "  " + format.Count(len(s.Lines), "address", "addresses")
}

// Scopes implements screen.Screen.
func (s *Screen) Scopes() []keys.Scope {
	return []keys.Scope{keys.Reachable, keys.Namespaced, keys.List}
}

// Needs implements screen.Screen.
func (s *Screen) Needs() []feed.Need {
	var needs []feed.Need
	for _, cluster := range s.clusters {
		needs = append(needs, feed.Addresses{Cluster: cluster})
	}
	return needs
}

// Take implements screen.Screen.
func (s *Screen) Take(_ *screen.World, delivery any) {
	if d, ok := delivery.(feed.HostAddresses); ok {
		s.reach[d.Cluster] = d
		s.refresh()
	}
}

// Freshness implements screen.Dated.
func (s *Screen) Freshness() object.Freshness {
	return object.Stalest(s.clusters, func(cluster string) object.Freshness { return s.reach[cluster].Freshness })
}

func (s *Screen) refresh() {
	columns := []widget.Column{
		{Title: "Cluster"}, {Title: "Namespace", Min: 8}, {Title: "Name", Min: 12}, {Title: "Kind", Spare: true},
		{Title: "Port", Spare: true}, {Title: "On this host", Min: 24}, {Title: "Message", Min: 12},
	}
	hidden := 0
	if len(s.clusters) < 2 {
		hidden = 1
	}
	s.Table.SetColumns(columns[hidden:])
	s.shown = nil
	var lines []grid.Line
	for _, cluster := range s.clusters {
		for _, a := range address.List(s.reach[cluster].Services) {
			if a.Namespace != "" && len(s.namespaces) > 0 && !slices.Contains(s.namespaces, a.Namespace) {
				continue
			}
			lines = append(lines, grid.Line{
				Key: cluster + " " + string(a.Kind) + " " + a.Namespace + "/" + a.Name + " " + a.Port + " " + a.Text, At: len(s.shown),
				Cells: []grid.Cell{
					grid.Dim(cluster), grid.Plain(a.Namespace), {Text: a.Name, Tone: theme.Accent}, grid.Plain(string(a.Kind)),
					grid.Plain(a.Port), grid.Plain(a.Text), {Text: a.Problem, Tone: theme.Warn},
				}[hidden:],
			})
			s.shown = append(s.shown, a)
		}
	}
	s.Set(lines)
}

// Act implements screen.Screen.
func (s *Screen) Act(_ *screen.World, a keys.Action) []screen.Request {
	if s.Table.Act(a) {
		return nil
	}
	switch a {
	case keys.PickNamespaces:
		return screen.Show(screen.Namespaces{})
	case keys.AllNamespaces:
		return []screen.Request{screen.Choose{Namespaces: []string{}}}
	case keys.Enter:
		a = keys.Browse
	case keys.Copy:
		a = keys.CopyAddress
	}
	at := s.At()
	if at < 0 {
		return nil
	}
	one := s.shown[at]
	of := one.Name
	if one.Namespace != "" {
		of = one.Namespace + "/" + one.Name
	}
	return address.Act(a, string(one.Kind)+" "+of, []address.Address{one})
}

// View implements screen.Screen.
func (s *Screen) View(w *screen.World, width, height int) []string {
	return s.Grid.View(w, width, height, s.Freshness(), "no addresses: create a Service, or open a port with `skiff port add`")
}
