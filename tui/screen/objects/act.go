package objects

import (
	"github.com/skiff-dev/skiff/kube/object"
	"github.com/skiff-dev/skiff/tui/keys"
	"github.com/skiff-dev/skiff/tui/screen"
	"github.com/skiff-dev/skiff/tui/screen/address"
	"github.com/skiff-dev/skiff/tui/screen/format"
	"github.com/skiff-dev/skiff/tui/screen/grid"
	"github.com/skiff-dev/skiff/tui/screen/kind"
	"github.com/skiff-dev/skiff/tui/widget"
)

// Click implements screen.Pointed.
func (s *Screen) Click(x, y int) (hit bool, requests []screen.Request) {
	if y == 0 {
		s.table.ClickHeader(x)
		return false, []screen.Request{s.order()}
	}
	return s.table.Click(y - 1), nil
}

// Wheel implements screen.Pointed.
func (s *Screen) Wheel(n int) { s.table.Move(n) }

// View implements screen.Screen.
func (s *Screen) View(w *screen.World, width, height int) []string {
	if details := s.addressDetails(w, width, height); len(details) > 0 {
		rows := min(height-len(details), len(s.rows)+2)
		return append(widget.Box(s.table.View(w.Theme, width, rows), width, rows), details...)
	}
	lines := s.table.View(w.Theme, width, height)
	if len(s.rows) > 0 {
		return lines
	}
	note := grid.Note(s.Freshness(), s.total, "no "+s.resource.Name+" found")
	return append(lines[:min(1, len(lines))], "", format.Note(w.Theme, note))
}

// Current returns the object under the cursor.
func (s *Screen) Current() (object.Ref, bool) {
	at, ok := s.aim()
	return at.Ref, ok
}

// aim returns what an action applies to. It returns false if there are no rows.
func (s *Screen) aim() (kind.Aim, bool) {
	row := s.table.Row()
	if row < 0 || row >= len(s.rows) {
		return kind.Aim{}, false
	}
	at := kind.Aim{Ref: s.ref(row)}
	for _, i := range s.table.Marked() {
		at.Refs = append(at.Refs, s.ref(i))
	}
	return at, true
}

func (s *Screen) ref(row int) object.Ref {
	r := s.rows[row]
	return object.Ref{Cluster: r.Cluster, Resource: s.resource, Namespace: r.Namespace, Name: r.Name, UID: r.UID}
}

// Act implements screen.Screen.
func (s *Screen) Act(w *screen.World, a keys.Action) []screen.Request {
	if s.table.ActMark(a) {
		return nil
	}
	before := s.order()
	if s.table.Act(a) {
		if s.order() != before {
			return []screen.Request{s.order()}
		}
		return nil
	}
	switch a {
	case keys.Wide:
		s.wide = !s.wide
		s.refresh(w)
	case keys.Unhealthy:
		s.unhealthy = !s.unhealthy
		s.refresh(w)
	case keys.Browse, keys.CopyAddress:
		if row := s.table.Row(); row >= 0 && row < len(s.rows) {
			return address.Act(a, s.ref(row).String(), s.addressesOf(s.rows[row]))
		}
	case keys.PickNamespaces:
		return screen.Show(screen.Namespaces{})
	case keys.AllNamespaces:
		s.narrow.Namespaces = nil
		return []screen.Request{screen.Choose{Namespaces: []string{}}}
	default:
		if at, ok := s.aim(); ok {
			return kind.Act(w, a, at)
		}
	}
	return nil
}

// order returns the request to remember how the table is sorted.
func (s *Screen) order() screen.Request {
	by, reverse := s.table.SortedBy()
	return screen.Sorted{Resource: s.resource.ID(), Order: screen.Order{By: by, Reverse: reverse}}
}
