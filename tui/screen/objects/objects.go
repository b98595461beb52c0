// Package objects is the table of one resource's objects, with the columns of
// the API server.
package objects

import (
	"fmt"
	"slices"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
	"github.com/skiff-dev/skiff/tui/filter"
	"github.com/skiff-dev/skiff/tui/keys"
	"github.com/skiff-dev/skiff/tui/screen"
	"github.com/skiff-dev/skiff/tui/screen/address"
	"github.com/skiff-dev/skiff/tui/screen/format"
	"github.com/skiff-dev/skiff/tui/screen/kind"
	"github.com/skiff-dev/skiff/tui/theme"
	"github.com/skiff-dev/skiff/tui/widget"
)

// Screen shows the objects of one resource.
type Screen struct {
	resource object.Resource
	kind     kind.Kind
	narrow   screen.Narrow

	clusters   []string
	namespaces []string
	selected   []string // the namespaces selected for all screens
	tables     map[string]object.Table
	usage      map[string]feed.Stats
	addresses  map[string]address.Index
	rows       []*object.Row
	columns    []column
	table      *widget.Table
	filter     filter.Filter
	wide       bool
	unhealthy  bool // show unhealthy objects only
	total      int  // rows before the filter
}

// New returns the screen of a resource.
func New(w *screen.World, to screen.Objects) *Screen {
	s := &Screen{
		resource: to.Resource, kind: kind.Of(to.Resource), narrow: to.Narrow,
		tables: map[string]object.Table{}, usage: map[string]feed.Stats{}, addresses: map[string]address.Index{}, table: widget.NewTable(nil),
	}
	order, known := w.Orders[to.Resource.ID()]
	if !known {
		order.By = s.kind.Columns.Sort
	}
	s.table.SortByTitle(order.By, order.Reverse)
	s.filter = to.Filter
	s.choose(w)
	s.refresh(w)
	if to.Select != "" {
		s.table.Select(to.Select)
	}
	return s
}

// choose applies the selection of clusters and namespaces.
func (s *Screen) choose(w *screen.World) {
	if s.narrow.Name == "" && !slices.Equal(s.selected, w.Namespaces) && s.clusters != nil {
		s.narrow.Namespaces = nil // the newer selection wins
	}
	s.selected = w.Namespaces
	s.clusters, s.namespaces = w.Clusters, w.Namespaces
	if s.narrow.Cluster != "" {
		s.clusters = []string{s.narrow.Cluster}
	}
	if s.narrow.Namespaces != nil {
		s.namespaces = s.narrow.Namespaces
	}
	if !s.resource.Namespaced {
		s.namespaces = nil
	}
	for name := range s.tables {
		if !slices.Contains(s.clusters, name) {
			delete(s.tables, name)
		}
	}
}

// Rechoose implements screen.Chooser.
func (s *Screen) Rechoose(w *screen.World) {
	before := s.Needs()
	s.choose(w)
	if slices.EqualFunc(before, s.Needs(), func(a, b feed.Need) bool { return a.Key() == b.Key() }) {
		return
	}
	clear(s.tables)
	s.refresh(w)
}

// Start implements screen.Remembered. A table that is narrowed to the objects
// related to another object is not a place to start.
func (s *Screen) Start() (view string, resource object.Resource) {
	if s.narrow.Name != "" {
		return "", object.Resource{}
	}
	return "", s.resource
}

// Crumb implements screen.Screen.
func (s *Screen) Crumb() string {
	if s.narrow.Name != "" {
		return s.resource.Name + " " + s.narrow.Name
	}
	return s.resource.Name
}

// Title implements screen.Screen.
func (s *Screen) Title() string {
	text := s.resource.Title()
	switch {
	case s.narrow.Name != "":
		text += " " + s.narrow.Name
	case s.narrow.Cluster != "":
		text += " of " + s.narrow.Cluster
	}
	if s.narrow.Name == "" && s.resource.Namespaced {
		text += " " + format.InNamespaces(s.namespaces)
	}
	at, _ := s.table.Where()
	count := fmt.Sprintf("%d/%d", at, len(s.rows))
	if len(s.rows) != s.total {
		count += fmt.Sprintf(" of %d", s.total)
	}
	return text + "  " + count + format.Selection(s.table.Marks(), s.unhealthy)
}

// Scopes implements screen.Screen.
func (s *Screen) Scopes() []keys.Scope {
	scopes := append(slices.Clone(s.kind.Scopes), keys.Objects, keys.Rows, keys.Columns)
	if s.resource.Namespaced && s.narrow.Name == "" {
		scopes = append(scopes, keys.Namespaced)
	}
	return append(scopes, keys.List)
}

// Needs implements screen.Screen.
func (s *Screen) Needs() []feed.Need {
	var needs []feed.Need
	for _, cluster := range s.clusters {
		needs = append(needs, feed.Objects{
			Cluster: cluster, Resource: s.resource, Namespaces: s.namespaces, Labels: s.narrow.Labels, Fields: s.narrow.Fields,
		})
		if s.kind.Columns.Usage {
			needs = append(needs, feed.Usage{Cluster: cluster})
		}
		if s.kind.Columns.Addresses {
			needs = append(needs, feed.Addresses{Cluster: cluster})
		}
	}
	return needs
}

// Take implements screen.Screen.
func (s *Screen) Take(w *screen.World, delivery any) {
	switch d := delivery.(type) {
	case object.Table:
		if d.Resource.ID() == s.resource.ID() && slices.Contains(s.clusters, d.Cluster) {
			s.tables[d.Cluster] = d
			s.refresh(w)
		}
	case feed.Stats:
		s.usage[d.Cluster] = d
		s.refresh(w) // the table may be sorted by usage
	case feed.HostAddresses:
		s.addresses[d.Cluster] = address.NewIndex(d.Services)
		s.refresh(w)
	}
}

// Freshness implements screen.Dated.
func (s *Screen) Freshness() object.Freshness {
	return object.Stalest(s.clusters, func(cluster string) object.Freshness { return s.tables[cluster].Freshness })
}

// refresh rebuilds the rows from the deliveries.
func (s *Screen) refresh(w *screen.World) {
	s.rows, s.total = nil, 0
	if len(s.clusters) == 1 && s.filter.Empty() && !s.unhealthy && s.narrow.Owner == "" {
		s.rows = s.tables[s.clusters[0]].Rows
		s.total = len(s.rows)
	} else {
		s.sift()
	}
	s.arrange()
	s.table.SetSource(source{s, w})
}

// sift keeps the rows that the user wants to see.
func (s *Screen) sift() {
	cells := make([]string, 0, 20)
	for _, cluster := range s.clusters {
		t := s.tables[cluster]
		for _, r := range t.Rows {
			if s.narrow.Owner != "" && r.Owner != s.narrow.Owner {
				continue
			}
			s.total++
			cells = append(append(cells[:0], r.Cells...), r.Namespace, r.Cluster)
			if s.filter.Match(cells, r.Labels) && (!s.unhealthy || s.isUnhealthy(t, r)) {
				s.rows = append(s.rows, r)
			}
		}
	}
}

// isUnhealthy reports whether a cell of the row shows a problem, or whether its
// status shows that the object is still starting or ending.
func (s *Screen) isUnhealthy(t object.Table, r *object.Row) bool {
	for i, c := range t.Columns {
		if i >= len(r.Cells) || c.Name == "Restarts" || c.Name == "Age" {
			continue
		}
		switch tone := format.CellTone(s.resource, c.Name, r.Cells[i]); {
		case tone == theme.Bad, tone == theme.Warn, tone == theme.Busy && c.Name == "Status":
			return true
		}
	}
	return r.Deleting || format.Lacking(t, r)
}

// SetFilter implements screen.Filtered.
func (s *Screen) SetFilter(w *screen.World, f filter.Filter) {
	s.table.Hold()
	s.filter = f
	s.refresh(w)
}

// Filter implements screen.Filtered.
func (s *Screen) Filter() filter.Filter { return s.filter }
