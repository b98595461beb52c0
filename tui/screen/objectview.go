package screen

import (
	"github.com/skiff-dev/skiff/tui/filter"
	"github.com/skiff-dev/skiff/tui/keys"
	"github.com/skiff-dev/skiff/tui/object"
	"github.com/skiff-dev/skiff/tui/theme"
)

// SetFilter is Filtered's.
func (o *Objects) SetFilter(w *World, f filter.Filter) {
	o.table.Hold()
	o.filter = f
	o.refresh(w)
}

// Filter is Filtered's.
func (o *Objects) Filter() filter.Filter { return o.filter }

// Click is Pointed's.
func (o *Objects) Click(x, y int) (hit bool, requests []Request) {
	if y == 0 {
		o.table.ClickHeader(x)
		return false, []Request{o.order()}
	}
	return o.table.Click(y - 1), nil
}

// Wheel is Pointed's.
func (o *Objects) Wheel(n int) { o.table.Move(n) }

// View is Screen's.
func (o *Objects) View(w *World, width, height int) []string {
	lines := o.table.View(w.Theme, width, height)
	if len(o.rows) > 0 {
		return lines
	}
	return append(lines[:min(1, len(lines))], "", w.Theme.Paint(theme.Dim, "  "+o.nothing()))
}

func (o *Objects) nothing() string {
	fresh := o.Freshness()
	switch {
	case fresh.State == object.Loading:
		return loading
	case fresh.State == object.Refused:
		return "access denied: " + fresh.Problem
	case fresh.State == object.Lost:
		return fresh.Problem
	case o.shown > 0:
		return noMatch
	}
	return "no " + o.Resource.Name + " found"
}

// Current is the object under the cursor.
func (o *Objects) Current() (object.Ref, bool) {
	row := o.table.Row()
	if row < 0 || row >= len(o.rows) {
		return object.Ref{}, false
	}
	return o.ref(row), true
}

// ref of a row.
func (o *Objects) ref(i int) object.Ref {
	r := o.rows[i]
	return object.Ref{Cluster: r.Cluster, Resource: o.Resource, Namespace: r.Namespace, Name: r.Name}
}

// aim is what an action is about; false if there is nothing.
func (o *Objects) aim() (aim, bool) {
	row := o.table.Row()
	if row < 0 || row >= len(o.rows) {
		return aim{}, false
	}
	at := aim{ref: o.ref(row), uid: o.rows[row].UID}
	for _, i := range o.table.Marked() {
		at.refs = append(at.refs, o.ref(i))
	}
	return at, true
}

// Act is Screen's.
func (o *Objects) Act(w *World, a keys.Action) []Request {
	if mark(o.table, a) {
		return nil
	}
	if scroll(o.table, a) {
		return o.sorted(a)
	}
	switch a {
	case keys.Wide:
		o.wide = !o.wide
		o.refresh(w)
	case keys.Faults:
		o.faults = !o.faults
		o.refresh(w)
	case keys.Pick:
		return []Request{Push{Screen: NewNamespaces(w)}}
	case keys.PickAll:
		o.Scope.Namespaces = nil
		return []Request{Choose{Namespaces: []string{}}}
	default:
		if at, ok := o.aim(); ok {
			return act(w, a, at)
		}
	}
	return nil
}

// sorted asks to remember how the resource is sorted, if that has changed.
func (o *Objects) sorted(a keys.Action) []Request {
	switch a {
	case keys.SortNext, keys.SortPrev, keys.Reverse, keys.SortName, keys.SortAge, keys.SortCPU, keys.SortMemory:
		return []Request{o.order()}
	}
	return nil
}

func (o *Objects) order() Request {
	by, reverse := o.table.SortedBy()
	return Sorted{Resource: o.Resource.ID(), Order: Order{By: by, Reverse: reverse}}
}
