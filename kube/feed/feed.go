// Package feed defines, as plain values, what a screen can ask for and what it
// receives. A screen lists its needs. The program runs one feed per distinct
// need and hands its deliveries to every screen that has it. A newer delivery
// replaces one that was not taken yet, so a slow screen never blocks a server.
package feed

import (
	"time"

	"github.com/skiff-dev/skiff/kube/object"
)

// Need is data that a screen subscribes to. A new kind of data implements it, and
// has a case where its source reads it: Model.run for this host, or Client.Run in
// package kube.
type Need interface {
	// Key identifies the need. Needs with the same key share one feed.
	Key() string
	// From returns the cluster whose API server answers the need, or "" if this
	// host does.
	From() string
	// Lost returns the delivery for a source that cannot be reached.
	Lost(object.Freshness) any
}

// Objects asks for all objects of a resource. It is answered with object.Table.
type Objects struct {
	Cluster  string
	Resource object.Resource
	// Namespaces to list; all if empty.
	Namespaces []string
	// Labels and Fields are selectors in the API's syntax.
	Labels, Fields string
}

// Key implements Need.
func (n Objects) Key() string {
	key := "objects " + n.Cluster + " " + n.Resource.ID() + " " + n.Labels + " " + n.Fields
	for _, ns := range n.Namespaces {
		key += " " + ns
	}
	return key
}

// From implements Need.
func (n Objects) From() string { return n.Cluster }

// Lost implements Need.
func (n Objects) Lost(f object.Freshness) any {
	return object.Table{Cluster: n.Cluster, Resource: n.Resource, Freshness: f}
}

// TextKind selects one of the texts about an object.
type TextKind string

// The kinds of text.
const (
	Description TextKind = "describe"
	YAML        TextKind = "yaml"
	History     TextKind = "history"
)

// Text asks for a text about one object. It is answered with Document.
type Text struct {
	Ref  object.Ref
	Kind TextKind
	// Reveal shows the values of a secret.
	Reveal bool
}

// Key implements Need.
func (n Text) Key() string {
	key := "text " + string(n.Kind) + " " + n.Ref.Cluster + " " + n.Ref.String()
	if n.Reveal {
		key += " revealed"
	}
	return key
}

// From implements Need.
func (n Text) From() string { return n.Ref.Cluster }

// Lost implements Need.
func (Text) Lost(f object.Freshness) any { return Document{Freshness: f} }

// Document answers Text.
type Document struct {
	Text string
	object.Freshness
}

// Usage asks for the resource usage of nodes, pods and containers. It is
// answered with Stats.
type Usage struct{ Cluster string }

// Key implements Need.
func (n Usage) Key() string { return "usage " + n.Cluster }

// From implements Need.
func (n Usage) From() string { return n.Cluster }

// Lost implements Need.
func (n Usage) Lost(f object.Freshness) any { return Stats{Cluster: n.Cluster, Freshness: f} }

// Stats answers Usage, from the summary API of the kubelets.
type Stats struct {
	Cluster string
	// Nodes by name, Pods by "namespace/name", Containers by
	// "namespace/pod/name".
	Nodes, Pods, Containers map[string]ResourceUsage
	object.Freshness
}

// ResourceUsage is what a node, pod or container uses.
type ResourceUsage struct {
	// MilliCPU is in thousandths of a core.
	MilliCPU                 int64
	MemoryBytes              int64
	DiskBytes, DiskTotal     int64
	ReceivedPerS, SentPerS   float64
	ReceivedBytes, SentBytes uint64
	At                       time.Time
}

// Catalog asks for the resources that a cluster serves. It is answered with
// Resources.
type Catalog struct{ Cluster string }

// Key implements Need.
func (n Catalog) Key() string { return "catalog " + n.Cluster }

// From implements Need.
func (n Catalog) From() string { return n.Cluster }

// Lost implements Need.
func (n Catalog) Lost(f object.Freshness) any { return Resources{Cluster: n.Cluster, Freshness: f} }

// Resources answers Catalog.
type Resources struct {
	Cluster string
	All     []object.Resource
	object.Freshness
}

// PodContainers asks for the containers of a pod. It is answered with Containers.
type PodContainers struct{ Pod object.Ref }

// Key implements Need.
func (n PodContainers) Key() string { return "containers " + n.Pod.Cluster + " " + n.Pod.String() }

// From implements Need.
func (n PodContainers) From() string { return n.Pod.Cluster }

// Lost implements Need.
func (PodContainers) Lost(f object.Freshness) any { return Containers{Freshness: f} }

// Containers answers PodContainers, in start order.
type Containers struct {
	All []Container
	object.Freshness
}

// Container is a container of a pod, formatted for display.
type Container struct {
	Name, Image string
	// Kind is "", "init", "sidecar" or "debug".
	Kind     string
	State    string
	Ready    bool
	Ended    bool // terminated successfully
	Restarts int
	// Since is when the state began; zero if unknown.
	Since            time.Time
	Ports            []string
	Requests, Limits string
	// Probes names the configured probes: "liveness readiness startup".
	Probes string
}

// Tree asks for an object with its owners and everything it owns, down to the
// containers. It is answered with Ownership.
type Tree struct{ Ref object.Ref }

// Key implements Need.
func (n Tree) Key() string { return "tree " + n.Ref.Cluster + " " + n.Ref.String() }

// From implements Need.
func (n Tree) From() string { return n.Ref.Cluster }

// Lost implements Need.
func (Tree) Lost(f object.Freshness) any { return Ownership{Freshness: f} }

// Ownership answers Tree.
type Ownership struct {
	Root TreeNode
	object.Freshness
}

// TreeNode is an object and the objects it owns.
type TreeNode struct {
	Ref object.Ref
	// Container is set for a container of the pod Ref.
	Container string
	Status    string // in one or two words
	Healthy   bool
	Children  []TreeNode
}
