// Package feed says what a screen needs to know and what it is told: plain
// values. A screen lists its needs; whoever runs the screens keeps one feed for
// each, whose deliveries replace one another, so that a slow screen never holds
// up a fast server.
package feed

import (
	"strconv"
	"time"

	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/tui/object"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// Need is something that a screen wants to be told about. Key tells two needs
// apart.
type Need interface{ Key() string }

// Objects is a need: all objects of a resource. It is answered with
// object.Table.
type Objects struct {
	Cluster  string
	Resource object.Resource
	// Namespaces to show, all if empty.
	Namespaces []string
	// Labels and Fields are selectors, as the API takes them.
	Labels, Fields string
}

// Key is Need's.
func (n Objects) Key() string {
	key := "objects " + n.Cluster + " " + n.Resource.ID() + " " + n.Labels + " " + n.Fields
	for _, ns := range n.Namespaces {
		key += " " + ns
	}
	return key
}

// TextKind is which text of an object is wanted.
type TextKind string

// The kinds of text.
const (
	Description TextKind = "describe"
	YAML        TextKind = "yaml"
	History     TextKind = "history"
)

// Text is a need: a text about one object. It is answered with Document.
type Text struct {
	Ref  object.Ref
	Kind TextKind
	// Reveal shows the values of a secret.
	Reveal bool
}

// Key is Need's.
func (n Text) Key() string {
	key := "text " + string(n.Kind) + " " + n.Ref.Cluster + " " + n.Ref.String()
	if n.Reveal {
		key += " revealed"
	}
	return key
}

// Document answers Text.
type Document struct {
	Text string
	object.Freshness
}

// Logs is a need: the logs of pods. It is answered with Lines.
type Logs struct {
	Cluster, Namespace string
	// Pods one by one, of any namespace; or those of Namespace that Labels
	// select, as they come and go.
	Pods   []PodName
	Labels string
	// Container is empty for all.
	Container string
	Previous  bool
	// Tail is how many lines of each container to begin with.
	Tail int
}

// Key is Need's.
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

// PodName names a pod of a cluster.
type PodName struct{ Namespace, Name string }

// Line of a log.
type Line struct {
	// Source is "pod/container", empty where there is but one.
	Source string
	At     time.Time
	Text   string
}

// Lines answers Logs and Output: what was written since the last delivery.
type Lines struct {
	Lines []Line
	// Dropped counts lines that came faster than anyone could read.
	Dropped int
	// Done says that no more will come; Failure why, if it ended badly.
	Done    bool
	Failure string
	object.Freshness
}

// maxPending bounds the lines between two deliveries.
const maxPending = 5000

// After is Joining's.
func (l Lines) After(before any) any {
	older, ok := before.(Lines)
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

// Host is a need: the clusters of this host. It is answered with Clusters.
type Host struct{}

// Key is Need's.
func (Host) Key() string { return "host" }

// Clusters answers Host.
type Clusters struct {
	All []daemonapi.ClusterStatus
	object.Freshness
}

// Machines is a need: what the nodes of a cluster say of themselves. It is
// answered with Guests.
type Machines struct{ Cluster string }

// Key is Need's.
func (n Machines) Key() string { return "machines " + n.Cluster }

// Guests answers Machines, by the node's name.
type Guests struct {
	Cluster string
	Nodes   map[string]nodeapi.Status
	object.Freshness
}

// Usage is a need: what nodes and pods use. It is answered with Stats.
type Usage struct{ Cluster string }

// Key is Need's.
func (n Usage) Key() string { return "usage " + n.Cluster }

// Stats answers Usage, from the kubelets' own summaries.
type Stats struct {
	Cluster string
	// Nodes by name, Pods by "namespace/name", Containers by
	// "namespace/pod/name".
	Nodes, Pods, Containers map[string]Use
	object.Freshness
}

// Use is what a node or pod uses.
type Use struct {
	// MilliCPU is thousandths of a core.
	MilliCPU                 int64
	MemoryBytes              int64
	DiskBytes, DiskTotal     int64
	ReceivedPerS, SentPerS   float64
	ReceivedBytes, SentBytes uint64
	At                       time.Time
}

// Health is a need: how the parts of the control plane are. It is answered
// with Control.
type Health struct{ Cluster string }

// Key is Need's.
func (n Health) Key() string { return "health " + n.Cluster }

// Control answers Health.
type Control struct {
	Cluster string
	Version string
	// Latency of the last answer of /readyz.
	Latency time.Duration
	// Checks of the API server, in its own order.
	Checks  []Check
	Members []Member
	Certs   []Certificate
	Leases  []Lease
	// Etcd as the API server's metrics tell.
	EtcdBytes    int64
	EtcdObjects  int64
	RequestsPerS float64
	InFlight     int64
	object.Freshness
}

// Etcd is a need: the members of the database of a cluster of this host. It is
// answered with EtcdMembers.
type Etcd struct{ Cluster string }

// Key is Need's.
func (n Etcd) Key() string { return "etcd " + n.Cluster }

// EtcdMembers answers Etcd; none if the cluster is not of this host.
type EtcdMembers struct {
	Cluster string
	All     []EtcdMember
}

// EtcdMember is one of them, as "skiff etcd members -o json" tells.
type EtcdMember struct {
	Name    string `json:"name"`
	Leader  bool   `json:"leader"`
	Learner bool   `json:"learner"`
	// Error says why it does not answer, empty if it does.
	Error         string   `json:"error"`
	DatabaseBytes int64    `json:"databaseBytes"`
	InUseBytes    int64    `json:"inUseBytes"`
	RaftIndex     uint64   `json:"raftIndex"`
	Alarms        []string `json:"alarms"`
}

// Check is one line of /readyz.
type Check struct {
	Name string
	OK   bool
	Text string
}

// Member is one control plane.
type Member struct {
	Name, Address string
	// Ready is the node's condition.
	Ready  string
	Leader bool
	// API is "ready", "not ready", "no response" or, if nobody can ask, empty;
	// Latency is that of its last answer.
	API     string
	Latency time.Duration
}

// Certificate of the API or of a person.
type Certificate struct {
	Name, Subject string
	Expires       time.Time
}

// Lease is who leads in what.
type Lease struct {
	Name, Holder string
	Renewed      time.Time
}

// Output is a need: the lines that a running command of ours writes. It is
// answered with Lines.
type Output struct{ ID int }

// Key is Need's.
func (n Output) Key() string { return "output " + strconv.Itoa(n.ID) }

// Forwards is a need: the ports that are forwarded. It is answered with
// ForwardList.
type Forwards struct{}

// Key is Need's.
func (Forwards) Key() string { return "forwards" }

// ForwardList answers Forwards.
type ForwardList struct{ All []Forwarded }

// Forwarded is one port of the host that leads to pods.
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

// Catalog is a need: what a cluster serves. It is answered with Resources.
type Catalog struct{ Cluster string }

// Key is Need's.
func (n Catalog) Key() string { return "catalog " + n.Cluster }

// Resources answers Catalog.
type Resources struct {
	Cluster string
	All     []object.Resource
	object.Freshness
}

// Inside is a need: the containers of a pod. It is answered with Containers.
type Inside struct{ Pod object.Ref }

// Key is Need's.
func (n Inside) Key() string { return "inside " + n.Pod.Cluster + " " + n.Pod.String() }

// Containers answers Inside, those that run first at first.
type Containers struct {
	All []Container
	object.Freshness
}

// Container of a pod, as people read it.
type Container struct {
	Name, Image string
	// Kind is "", "init", "sidecar" or "debug".
	Kind     string
	State    string
	Ready    bool
	Ended    bool // it has done what it had to do
	Restarts int
	// Since is when the state began, zero if nobody knows.
	Since            time.Time
	Ports            []string
	Requests, Limits string
	// Probes are "liveness readiness startup", those that there are.
	Probes string
}

// Family is a need: an object, what owns it and what it owns, down to the
// containers. It is answered with Branches.
type Family struct{ Ref object.Ref }

// Key is Need's.
func (n Family) Key() string { return "family " + n.Ref.Cluster + " " + n.Ref.String() }

// Branches answers Family.
type Branches struct {
	Root Branch
	object.Freshness
}

// Branch is one object and what it owns.
type Branch struct {
	Ref object.Ref
	UID string
	// Container is set for the containers of a pod, whose Ref is the pod's.
	Container string
	// Status in a word or two, and whether all is well.
	Status  string
	Healthy bool
	Below   []Branch
}
