// Package object is what screens show of a cluster's objects: plain values that
// nobody changes once they are handed over.
package object

import (
	"slices"
	"strings"
	"time"
)

// Resource is a kind of object that an API server serves.
type Resource struct {
	Group, Version string
	// Name is the plural in lower case, as in URLs.
	Name, Singular, Kind string
	// Short are names such as "po".
	Short      []string
	Namespaced bool
}

// ID is "deployments.apps", or "pods" for the core group.
func (r Resource) ID() string {
	if r.Group == "" {
		return r.Name
	}
	return r.Name + "." + r.Group
}

// Title is the plural of the kind: "StatefulSets", "NetworkPolicies".
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

// Path below the server's root, with a namespace for namespaced resources;
// an empty one means all.
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
}

// String is "deployment default/web".
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

// Row is one object as the server's table shows it.
type Row struct {
	Cluster, Namespace, Name, UID string
	Cells                         []string
	Labels                        map[string]string
	// Owner is the UID of the controlling object, empty if there is none.
	Owner    string
	Created  time.Time
	Deleting bool
	// Taints and Conditions are a node's.
	Taints     []string
	Conditions []Condition
	// Read is when the cells were read: ages in them are of that time.
	Read time.Time
}

// Condition of a node, as its kubelet reports it.
type Condition struct{ Type, Status, Reason, Message string }

// Well says whether the condition is as it should be: Ready true, all others
// not.
func (c Condition) Well() bool {
	return (c.Status == "True") == (c.Type == "Ready") && c.Status != "Unknown"
}

// Key tells a row from all others of its table.
func (r *Row) Key() string { return r.Cluster + "/" + r.Namespace + "/" + r.Name }

// State of what a feed has delivered.
type State int

// The states.
const (
	// Loading: nothing complete has been read yet.
	Loading State = iota
	// Live: the data follow the server.
	Live
	// Lost: the server does not answer; the data are as they were.
	Lost
	// Refused: the server does not allow it or does not have it.
	Refused
)

// Freshness says how new delivered data are.
type Freshness struct {
	State State
	// At is when the server was last heard.
	At time.Time
	// Problem is why the state is Lost or Refused, one line.
	Problem string
}

// Table is all objects of one resource in one cluster, as far as wanted.
type Table struct {
	Cluster  string
	Resource Resource
	Columns  []Column
	Rows     []*Row
	Freshness
}

// Find returns the resource that name means: plural, singular, short name or
// kind, optionally with ".GROUP". The first in the order of the server's
// preference wins.
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
