// Package screen holds the screens: each is plain state, told what it needs to
// know, that draws itself into a box and answers an action with requests. A
// screen does nothing by itself; whoever runs it carries its requests out.
package screen

import (
	"slices"
	"time"

	"github.com/skiff-dev/skiff/tui/feed"
	"github.com/skiff-dev/skiff/tui/filter"
	"github.com/skiff-dev/skiff/tui/keys"
	"github.com/skiff-dev/skiff/tui/object"
	"github.com/skiff-dev/skiff/tui/theme"
	"github.com/skiff-dev/skiff/tui/widget"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// Screen is what fills the window, but for its first and last lines.
type Screen interface {
	// Crumb names the screen in a word or two.
	Crumb() string
	// Title says what is shown, with counts.
	Title() string
	// Scopes are where keys hold on this screen, the first before the others.
	Scopes() []keys.Scope
	// Needs are what the screen wants to be told about now.
	Needs() []feed.Need
	// Take is told what answers a need.
	Take(w *World, delivery any)
	// Act answers an action.
	Act(w *World, action keys.Action) []Request
	// View draws the screen as at most height lines of at most width cells.
	View(w *World, width, height int) []string
}

// Filtered is a screen that can be filtered or searched.
type Filtered interface {
	SetFilter(w *World, f filter.Filter)
	Filter() filter.Filter
}

// Pointed is a screen that understands the mouse. x and y are cells of its box.
type Pointed interface {
	// Click says whether it hit what a double click opens, as Enter does.
	Click(x, y int) (hit bool, requests []Request)
	Wheel(n int)
}

// Dated is a screen that says how new its data are.
type Dated interface{ Freshness() object.Freshness }

// World is what all screens share. Screens read it and do not change it.
type World struct {
	Now   time.Time
	Theme *theme.Theme
	Keys  keys.Map
	// Clusters that are shown, at least one unless nothing is chosen yet.
	Clusters []string
	// Namespaces that are shown, all if empty.
	Namespaces []string
	// Resources by cluster.
	Resources map[string][]object.Resource
	// Hosts are the clusters of this host, by name.
	Hosts map[string]daemonapi.ClusterStatus
	// Orders are how tables of resources were sorted the last time, by the
	// resource's ID.
	Orders map[string]Order
	// Verbs says which commands of skiff's own there are.
	Verbs    map[string]bool
	ReadOnly bool
}

// Order is how a table is sorted: by the column of that title, "" for the
// server's order.
type Order struct {
	By      string `json:"by,omitempty"`
	Reverse bool   `json:"reverse,omitempty"`
}

// Find is a resource of the first cluster that has it.
func (w *World) Find(name string) (object.Resource, bool) {
	for _, cluster := range w.Clusters {
		if r, ok := object.Find(w.Resources[cluster], name); ok {
			return r, true
		}
	}
	return object.Resource{}, false
}

// Request is something that a screen asks for.
type Request interface{ request() }

// Push opens a screen on top; with Replace in place of this one.
type Push struct {
	Screen  Screen
	Replace bool
}

// Pop goes back.
type Pop struct{}

// Do carries a task out. Where it needs the terminal, the screens step aside.
type Do struct {
	Cluster string
	Task    feed.Task
}

// Ask carries Then out after a yes. With Word the word must be typed.
type Ask struct {
	Title string
	Lines []string
	Word  string
	Then  []Request
}

// Fill asks for values.
type Fill struct {
	Form *widget.Form
	Then func(map[string]string) []Request
}

// Look reads facts about an object first.
type Look struct {
	Ref  object.Ref
	Then func(feed.Facts) []Request
}

// Say shows a line at the bottom for a while.
type Say struct {
	Text string
	Bad  bool
}

// CopyText puts text into the clipboard.
type CopyText struct{ What, Text string }

// Choose changes what all screens show.
type Choose struct {
	// Clusters and Namespaces; nil leaves them.
	Clusters, Namespaces []string
}

// Sorted asks to remember how a resource is sorted.
type Sorted struct {
	Resource string // its ID
	Order    Order
}

func (Sorted) request()   {}
func (Push) request()     {}
func (Pop) request()      {}
func (Do) request()       {}
func (Ask) request()      {}
func (Fill) request()     {}
func (Look) request()     {}
func (Say) request()      {}
func (CopyText) request() {}
func (Choose) request()   {}

// say is one Say.
func say(text string) []Request { return []Request{Say{Text: text}} }

// scroll moves a table by an action; false if the action is none of its.
func scroll(t *widget.Table, a keys.Action) bool {
	switch a {
	case keys.Up:
		t.Move(-1)
	case keys.Down:
		t.Move(1)
	case keys.PageUp:
		t.Move(-t.Page())
	case keys.PageDown:
		t.Move(t.Page())
	case keys.Top:
		t.Move(-t.Len())
	case keys.Bottom:
		t.Move(t.Len())
	case keys.Left:
		t.Shift(-1)
	case keys.Right:
		t.Shift(1)
	case keys.SortNext:
		t.SortBy(min(t.Sort+1, len(t.Columns)-1), false)
	case keys.SortPrev:
		t.SortBy(max(t.Sort-1, -1), false)
	case keys.Reverse:
		t.SortBy(t.Sort, !t.Reverse)
	case keys.SortName:
		sortBy(t, "Name", "Object", "Cluster", "Address", "Namespace")
	case keys.SortAge:
		sortBy(t, "Age", "Last Seen", "Up")
	case keys.SortCPU:
		sortMost(t, "CPU")
	case keys.SortMemory:
		sortMost(t, "Memory")
	default:
		return false
	}
	return true
}

// sortBy sorts by the first of the columns that there is; again, the other way
// round.
func sortBy(t *widget.Table, titles ...string) {
	for _, title := range titles {
		if i := slices.IndexFunc(t.Columns, func(c widget.Column) bool { return c.Title == title }); i >= 0 {
			t.SortBy(i, t.Sort == i && !t.Reverse)
			return
		}
	}
}

// sortMost sorts by a column, the largest first; again, the other way round.
func sortMost(t *widget.Table, title string) {
	by, reverse := t.SortedBy()
	t.SortByTitle(title, by != title || !reverse)
}

// mark marks rows of a table by an action; false if the action is none of its.
func mark(t *widget.Table, a keys.Action) bool {
	switch a {
	case keys.Mark:
		t.Mark()
	case keys.MarkRange:
		t.MarkRange()
	case keys.MarkAll:
		t.MarkAll()
	case keys.Unmark:
		t.Unmark()
	default:
		return false
	}
	return true
}

// few are the first names, and how many more there are.
func few(names []string, limit int) []string {
	if len(names) <= limit {
		return names
	}
	return append(append([]string(nil), names[:limit]...), "… and "+count(len(names)-limit, "more", "more"))
}
