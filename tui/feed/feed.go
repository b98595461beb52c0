// Package feed defines, as plain values, what a screen can ask for and what it
// receives. A screen lists its needs. The program runs one feed per distinct
// need and hands its deliveries to every screen that has it. A newer delivery
// replaces one that was not taken yet, so a slow screen never blocks a server.
package feed

import (
	"strconv"
	"time"

	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/tui/object"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// Need is data that a screen subscribes to. A new kind of data implements it, and
// has a case where its source reads it: Model.run for this host, or Client.Run in
// tui/kube.
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

// Logs asks for the logs of pods. It is answered with Lines.
type Logs struct {
	Cluster, Namespace string
	// Pods lists individual pods of any namespace. If it is empty, Labels selects
	// pods of Namespace, including those created later.
	Pods   []PodName
	Labels string
	// Container is one container's name; all containers if empty.
	Container string
	Previous  bool
	// Tail is the number of past lines to start with, per container.
	Tail int
}

// Key implements Need.
func (n Logs) Key() string {
	key := "logs " + n.Cluster + "/" + n.Namespace + " " + n.Labels + " " + n.Container
	for _, p := range n.Pods {
		key += " " + p.Namespace + "/" + p.Name
	}
	if n.Previous {
		key += " previous"
	}
	return key
}

// From implements Need.
func (n Logs) From() string { return n.Cluster }

// Lost implements Need.
func (Logs) Lost(f object.Freshness) any { return Lines{Freshness: f} }

// PodName identifies a pod within a cluster.
type PodName struct{ Namespace, Name string }

// Line is one line of a log.
type Line struct {
	// Source is "pod/container"; empty if there is only one source.
	Source string
	At     time.Time
	Text   string
}

// Lines answers Logs and Output with the lines written since the previous
// delivery.
type Lines struct {
	Lines []Line
	// Dropped counts lines that were discarded because they arrived too fast.
	Dropped int
	// Done reports that no more lines will follow; Failure is the reason if the
	// source ended with an error.
	Done    bool
	Failure string
	object.Freshness
}

// maxPending bounds the lines kept between two deliveries.
const maxPending = 5000

// AppendTo implements Appendable.
func (l Lines) AppendTo(earlier any) any {
	older, ok := earlier.(Lines)
	if !ok {
		return l
	}
	all := append(append([]Line(nil), older.Lines...), l.Lines...)
	l.Dropped += older.Dropped
	if extra := len(all) - maxPending; extra > 0 {
		all, l.Dropped = all[extra:], l.Dropped+extra
	}
	l.Lines = all
	return l
}

// Host asks for the clusters on this host. It is answered with Clusters.
type Host struct{}

// Key implements Need.
func (Host) Key() string { return "host" }

// From implements Need.
func (Host) From() string { return "" }

// Lost implements Need.
func (Host) Lost(f object.Freshness) any { return Clusters{Freshness: f} }

// Clusters answers Host.
type Clusters struct {
	All []daemonapi.ClusterStatus
	object.Freshness
}

// Machines asks for the status that each node of a cluster reports about
// itself. It is answered with MachineStatus.
type Machines struct{ Cluster string }

// Key implements Need.
func (n Machines) Key() string { return "machines " + n.Cluster }

// From implements Need.
func (Machines) From() string { return "" }

// Lost implements Need.
func (n Machines) Lost(f object.Freshness) any {
	return MachineStatus{Cluster: n.Cluster, Freshness: f}
}

// MachineStatus answers Machines.
type MachineStatus struct {
	Cluster string
	// Nodes by name; a node that did not answer is missing.
	Nodes map[string]nodeapi.Status
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

// ControlPlane asks for the status of a control plane. It is answered with
// ControlPlaneStatus.
type ControlPlane struct{ Cluster string }

// Key implements Need.
func (n ControlPlane) Key() string { return "control plane " + n.Cluster }

// From implements Need.
func (n ControlPlane) From() string { return n.Cluster }

// Lost implements Need.
func (n ControlPlane) Lost(f object.Freshness) any {
	return ControlPlaneStatus{Cluster: n.Cluster, Freshness: f}
}

// ControlPlaneStatus answers ControlPlane.
type ControlPlaneStatus struct {
	Cluster string
	Version string
	// Latency of the last /readyz request.
	Latency time.Duration
	// Checks of the API server, in the server's order.
	Checks  []Check
	Members []Member
	Certs   []Certificate
	Leases  []Lease
	// The following come from the API server's metrics.
	EtcdBytes    int64
	EtcdObjects  int64
	RequestsPerS float64
	InFlight     int64
	object.Freshness
}

// Etcd asks for the etcd members of a cluster on this host. It is answered with
// EtcdMembers.
type Etcd struct{ Cluster string }

// Key implements Need.
func (n Etcd) Key() string { return "etcd " + n.Cluster }

// From implements Need.
func (Etcd) From() string { return "" }

// Lost implements Need.
func (n Etcd) Lost(_ object.Freshness) any { return EtcdMembers{Cluster: n.Cluster} }

// EtcdMembers answers Etcd; it is empty for a cluster that is not on this host.
type EtcdMembers struct {
	Cluster string
	All     []EtcdMember
}

// EtcdMember is the status of one member.
type EtcdMember struct {
	Name    string
	Leader  bool
	Learner bool
	// Error is why the member did not answer, empty if it did.
	Error         string
	DatabaseBytes int64
	InUseBytes    int64
	RaftIndex     uint64
	Alarms        []string
}

// Check is one line of /readyz.
type Check struct {
	Name string
	OK   bool
	Text string
}

// Member is one control plane node.
type Member struct {
	Name, Address string
	// Ready is the status of the node's Ready condition.
	Ready  string
	Leader bool
	// API is the state of the node's API server: "ready", "not ready", "no
	// response" or, if it cannot be queried, empty. Latency is that of the query.
	API     string
	Latency time.Duration
}

// Certificate is one that an API client meets: the server's or its own.
type Certificate struct {
	Name, Subject string
	Expires       time.Time
}

// Lease is a leader election lease and its holder.
type Lease struct {
	Name, Holder string
	Renewed      time.Time
}

// Output asks for the output of a skiff command that the dashboard started. It
// is answered with Lines.
type Output struct{ ID int }

// Key implements Need.
func (n Output) Key() string { return "output " + strconv.Itoa(n.ID) }

// From implements Need.
func (Output) From() string { return "" }

// Lost implements Need.
func (Output) Lost(f object.Freshness) any { return Lines{Freshness: f} }

// Forwards asks for the active port-forwards. It is answered with ForwardList.
type Forwards struct{}

// Key implements Need.
func (Forwards) Key() string { return "forwards" }

// From implements Need.
func (Forwards) From() string { return "" }

// Lost implements Need.
func (Forwards) Lost(_ object.Freshness) any { return ForwardList{} }

// ForwardList answers Forwards.
type ForwardList struct{ All []Forwarded }

// Forwarded is a port of the host that is forwarded to pods.
type Forwarded struct {
	ID      string
	Ref     object.Ref
	Local   int
	Remote  string
	Pod     string
	State   string
	Problem string
	Conns   int64
	Since   time.Time
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
	UID string
	// Container is set for a container of the pod Ref.
	Container string
	Status    string // in one or two words
	Healthy   bool
	Children  []TreeNode
}
