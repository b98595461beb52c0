package feed

import (
	"strconv"
	"time"

	"github.com/skiff-dev/skiff/controlplane/controlapi"
	"github.com/skiff-dev/skiff/kube/object"
	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

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

// Addresses asks where this host reaches a cluster's services. It is answered with
// HostAddresses.
type Addresses struct{ Cluster string }

// Key implements Need.
func (n Addresses) Key() string { return "addresses " + n.Cluster }

// From implements Need.
func (Addresses) From() string { return "" }

// Lost implements Need.
func (n Addresses) Lost(f object.Freshness) any {
	return HostAddresses{Cluster: n.Cluster, Freshness: f}
}

// HostAddresses answers Addresses.
type HostAddresses struct {
	Cluster  string
	Services daemonapi.Services
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
	All     []controlapi.EtcdMember
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
