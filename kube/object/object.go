// Package object holds the plain values in which the dashboard keeps the objects
// of a cluster. They must not be modified after delivery to a screen.
package object

import (
	"slices"
	"strings"
	"time"
)

// Resource is a kind of object that an API server serves.
type Resource struct {
	Group, Version string
	// Name is the lower-case plural, as in URLs.
	Name, Singular, Kind string
	// Short holds short names such as "po".
	Short      []string
	Namespaced bool
}

// ID returns "deployments.apps", or "pods" for the core group.
func (r Resource) ID() string {
	if r.Group == "" {
		return r.Name
	}
	return r.Name + "." + r.Group
}

// Title returns the plural of the kind, e.g. "StatefulSets" or
// "NetworkPolicies".
func (r Resource) Title() string {
	kind := strings.ToLower(r.Kind)
	if rest, ok := strings.CutPrefix(r.Name, kind); ok {
		return r.Kind + rest
	}
	if stem := strings.TrimSuffix(kind, "y"); stem != kind && r.Name == stem+"ies" {
		return r.Kind[:len(stem)] + "ies"
	}
	return strings.ToUpper(r.Name[:min(1, len(r.Name))]) + r.Name[min(1, len(r.Name)):]
}

// Path returns the path below the server's root. For namespaced resources, an
// empty namespace means all namespaces.
func (r Resource) Path(namespace, name string) string {
	parts := []string{"", "apis", r.Group, r.Version}
	if r.Group == "" {
		parts = []string{"", "api", r.Version}
	}
	if r.Namespaced && namespace != "" {
		parts = append(parts, "namespaces", namespace)
	}
	parts = append(parts, r.Name)
	if name != "" {
		parts = append(parts, name)
	}
	return strings.Join(parts, "/")
}

// Ref names one object.
type Ref struct {
	Cluster         string
	Resource        Resource
	Namespace, Name string
	// UID of the object that the user saw. An object of the same name that was created
	// later is not deleted in its place. Empty means any.
	UID string
}

// String returns e.g. "deployment default/web".
func (r Ref) String() string {
	kind := strings.ToLower(r.Resource.Kind)
	if r.Namespace == "" {
		return kind + " " + r.Name
	}
	return kind + " " + r.Namespace + "/" + r.Name
}

// Column of a Table.
type Column struct {
	Name string
	// Wide columns are shown on request only.
	Wide bool
}

// Row is one object in the server's table format.
type Row struct {
	Cluster, Namespace, Name, UID string
	Cells                         []string
	Labels                        map[string]string
	// Owner is the UID of the controlling object, or empty.
	Owner    string
	Created  time.Time
	Deleting bool
	// Taints and Conditions are set for nodes.
	Taints     []string
	Conditions []Condition
	// Read is the time at which the cells were read. Ages in cells refer to it.
	Read time.Time
}

// Condition of a node, as reported by its kubelet.
type Condition struct{ Type, Status, Reason, Message string }

// Healthy reports whether the condition has its healthy status: True for Ready,
// False for all others.
func (c Condition) Healthy() bool {
	return (c.Status == "True") == (c.Type == "Ready") && c.Status != "Unknown"
}

// Key identifies the row in its table.
func (r *Row) Key() string { return r.Cluster + "/" + r.Namespace + "/" + r.Name }

// State of delivered data.
type State int

// The states.
const (
	// Loading means that the first complete read has not finished.
	Loading State = iota
	// Live means that the data follows the server.
	Live
	// Lost means that the server does not respond and the data may be stale.
	Lost
	// Refused means that the server denies access or does not have the resource.
	Refused
)

// Freshness describes how recent delivered data is.
type Freshness struct {
	State State
	// At is the time of the server's last response.
	At time.Time
	// Problem is one line. It explains Lost and Refused; for Live, it names the data
	// that is missing.
	Problem string
}

// Stalest returns the freshness of the source that lags most. A source that does
// not respond lags more than any that does.
func Stalest(sources []string, of func(string) Freshness) Freshness {
	var worst Freshness
	for i, source := range sources {
		f := of(source)
		if i == 0 || worst.State == Live && (f.State != Live || f.At.Before(worst.At)) {
			worst = f
		}
	}
	return worst
}

// Table holds the selected objects of one resource in one cluster.
type Table struct {
	Cluster  string
	Resource Resource
	Columns  []Column
	Rows     []*Row
	Freshness
}

// Cell returns the cell of a row in the named column, or "".
func (t Table) Cell(r *Row, column string) string {
	for i, c := range t.Columns {
		if c.Name == column && i < len(r.Cells) {
			return r.Cells[i]
		}
	}
	return ""
}

// Find returns the resource with the given plural, singular, short name or kind,
// optionally followed by ".GROUP". If several match, the first one in the
// server's order of preference wins.
func Find(all []Resource, name string) (Resource, bool) {
	name = strings.ToLower(name)
	for _, match := range []func(Resource) bool{
		func(r Resource) bool { return r.Name == name || r.ID() == name },
		func(r Resource) bool {
			return r.Singular == name || strings.ToLower(r.Kind) == name || slices.Contains(r.Short, name)
		},
		func(r Resource) bool {
			return strings.HasPrefix(name, r.Name+".") && strings.HasPrefix(r.ID(), name)
		},
	} {
		if i := slices.IndexFunc(all, match); i >= 0 {
			return all[i], true
		}
	}
	return Resource{}, false
}
