// Package screen defines the contract between the screens of the dashboard and
// the program that runs them. A screen is plain state: it lists the data that it
// needs, draws itself into a box of cells, and answers a user's action with
// requests, which are values. It performs no I/O. Each subpackage is one screen,
// or a helper that several of them share.
package screen

import (
	"time"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
	"github.com/skiff-dev/skiff/tui/filter"
	"github.com/skiff-dev/skiff/tui/keys"
	"github.com/skiff-dev/skiff/tui/theme"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// Screen fills the window between the two header lines and the last line.
type Screen interface {
	// Crumb returns the short name of the screen, for the path at the top.
	Crumb() string
	// Title describes what is shown, followed by two spaces and counts.
	Title() string
	// Scopes returns the key scopes that apply, in order of precedence.
	Scopes() []keys.Scope
	// Needs returns the data that the screen currently needs.
	Needs() []feed.Need
	// Take accepts a delivery that answers one of the needs.
	Take(w *World, delivery any)
	// Act answers an action of the user.
	Act(w *World, action keys.Action) []Request
	// View draws the screen as at most height lines of at most width cells.
	View(w *World, width, height int) []string
}

// Filtered is a screen that can be filtered or searched.
type Filtered interface {
	SetFilter(w *World, f filter.Filter)
	Filter() filter.Filter
}

// Pointed is a screen that handles the mouse. x and y are relative to its box.
type Pointed interface {
	// Click reports whether the click hit an item, which a double click opens.
	Click(x, y int) (hit bool, requests []Request)
	Wheel(n int)
}

// Dated is a screen that knows how recent its data is.
type Dated interface{ Freshness() object.Freshness }

// Chooser is a screen that follows the selected clusters and namespaces.
// Rechoose is called after either selection has changed.
type Chooser interface{ Rechoose(w *World) }

// Resumer is a screen that takes over measurements from an earlier instance of
// itself, which it replaces.
type Resumer interface{ Resume(earlier Screen) }

// Remembered is a screen that the next run of the dashboard can start with.
type Remembered interface {
	// Start returns the name of the screen as --start takes it, or the resource
	// that it shows. Both are zero if the screen is not a place to start.
	Start() (view string, resource object.Resource)
}

// World is the state that all screens share. Screens must not modify it.
type World struct {
	Now   time.Time
	Theme *theme.Theme
	Keys  keys.Map
	// Clusters are the selected clusters, empty before the first selection.
	Clusters []string
	// Namespaces are the selected namespaces; empty selects all.
	Namespaces []string
	// Resources that the API server of each cluster serves.
	Resources map[string][]object.Resource
	// Hosts holds the status of the clusters on this host, by name.
	Hosts map[string]daemonapi.ClusterStatus
	// Orders holds the last sort order of each resource, by the resource's ID.
	Orders map[string]Order
	// Verbs holds the skiff commands that this build has.
	Verbs    map[string]bool
	ReadOnly bool
}

// Order is the sort order of a table.
type Order struct {
	// By is the title of the column, or "" for the server's order.
	By      string `json:"by,omitempty"`
	Reverse bool   `json:"reverse,omitempty"`
}

// Find returns the named resource of the first cluster that serves it.
func (w *World) Find(name string) (object.Resource, bool) {
	for _, cluster := range w.Clusters {
		if r, ok := object.Find(w.Resources[cluster], name); ok {
			return r, true
		}
	}
	return object.Resource{}, false
}
