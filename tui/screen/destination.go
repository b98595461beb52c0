package screen

import (
	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
	"github.com/skiff-dev/skiff/tui/filter"
)

// Destination names a screen to open. Screens name each other by destination, so
// that they need not import each other; tui/app builds the screen.
type Destination interface{ destination() }

// Objects is the table of one resource.
type Objects struct {
	Resource object.Resource
	Narrow   Narrow
	// Select is the key of the row to put the cursor on, if any.
	Select string
	// Filter is the filter to start with.
	Filter filter.Filter
}

// Narrow restricts a table to some objects of a resource.
type Narrow struct {
	// Name describes the restriction in the title, e.g. "of deployment web".
	Name string
	// Namespaces replaces the selected namespaces if not nil.
	Namespaces []string
	// Labels and Fields are selectors as the API takes them.
	Labels, Fields string
	// Owner is the UID of the controlling object.
	Owner string
	// Cluster replaces the selected clusters.
	Cluster string
}

// Workloads is the table of workloads, in the selected namespaces if Namespaces
// is nil.
type Workloads struct{ Namespaces []string }

// Namespaces is the selection of namespaces.
type Namespaces struct{}

// Clusters is the table of clusters on this host.
type Clusters struct{}

// Pulse is the overview of the selected clusters.
type Pulse struct{}

// ControlPlane is the control plane of a cluster, by default of the first one
// selected.
type ControlPlane struct{ Cluster string }

// Resources is the list of resources and their names.
type Resources struct{}

// Forwards is the list of port-forwards.
type Forwards struct{}

// Addresses is the list of addresses at which this host reaches services.
type Addresses struct{}

// Help lists the keys of the current screen.
type Help struct{}

// Nodes is the table of nodes. Select is the key of the row to put the cursor on.
type Nodes struct{ Select string }

// Containers is the list of a pod's containers.
type Containers struct{ Pod object.Ref }

// Tree is the ownership tree of an object.
type Tree struct{ Ref object.Ref }

// Document is a text about one object.
type Document struct{ Need feed.Text }

// Logs is the merged log of some containers. Of describes their source.
type Logs struct {
	Of   string
	Need feed.Logs
}

// StoredLogs is the result of a search of the log store. Of names what is searched.
type StoredLogs struct {
	Of   string
	Need feed.StoredLogs
}

// Output is the output of a job.
type Output struct {
	Job   int
	Title string
}

func (Objects) destination()      {}
func (Workloads) destination()    {}
func (Clusters) destination()     {}
func (Pulse) destination()        {}
func (ControlPlane) destination() {}
func (Resources) destination()    {}
func (Forwards) destination()     {}
func (Addresses) destination()    {}
func (Help) destination()         {}
func (Output) destination()       {}
func (Namespaces) destination()   {}
func (Nodes) destination()        {}
func (Containers) destination()   {}
func (Tree) destination()         {}
func (Document) destination()     {}
func (Logs) destination()         {}
func (StoredLogs) destination()   {}

// Resource returns the screen that shows a resource best.
func Resource(r object.Resource) Destination {
	if r.ID() == object.Nodes.ID() {
		return Nodes{}
	}
	return Objects{Resource: r}
}

// Text returns the screen of a text about one object.
func Text(ref object.Ref, kind feed.TextKind) Destination {
	return Document{Need: feed.Text{Ref: ref, Kind: kind}}
}
