package feed

import (
	"time"

	"github.com/skiff-dev/skiff/kube/object"
)

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
	// Duration is how long the lease is valid after it was renewed.
	Duration time.Duration
}

// Expired reports whether the holder has failed to renew the lease in time.
func (l Lease) Expired(now time.Time) bool { return now.After(l.Renewed.Add(l.Duration)) }
