package daemonapi

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
)

// ClusterStatus is the observed state of a cluster.
type ClusterStatus struct {
	Name string `json:"name"`
	// Phase is "absent", "starting", "running", "degraded", "paused" or "stopped".
	Phase string `json:"phase"`
	// WakesOnUse is set if the cluster is paused because nobody used it: the next use
	// resumes it.
	WakesOnUse bool   `json:"wakesOnUse,omitempty"`
	Driver     string `json:"driver"`
	// Accelerator is one line on what runs the machines.
	Accelerator string `json:"accelerator"`
	// Server is the API's URL on the host.
	Server string `json:"server"`
	// Web and WebTLS are the URLs of the cluster's Services on the host, with
	// SERVICE.NAMESPACE for the name of one; empty if they are not served.
	Web    string `json:"web,omitempty"`
	WebTLS string `json:"webTLS,omitempty"`
	// Standby is nil unless the cluster is paused whenever nobody uses it.
	Standby *Standby `json:"standby,omitempty"`
	// Tunnel is the device through which this host reaches all addresses of the
	// cluster; empty if it is not connected.
	Tunnel string `json:"tunnel,omitempty"`
	// APIReady reports whether the API server is ready.
	APIReady   bool         `json:"apiReady"`
	Kubernetes string       `json:"kubernetes"`
	Nodes      []NodeStatus `json:"nodes"`
	// Simulated is nil if there are no simulated nodes, or it is not known.
	Simulated *Simulated `json:"simulated,omitempty"`
	// Upgrade is nil unless an upgrade is not finished.
	Upgrade *Upgrade `json:"upgrade,omitempty"`
	// Faults are those that users began and that are active.
	Faults []Fault `json:"faults,omitempty"`
	// Repairs are the last ones, the oldest first.
	Repairs []Repair `json:"repairs,omitempty"`
	// Scaled are the groups whose numbers of nodes the autoscaler changes, Scalings its last
	// changes, the oldest first.
	Scaled   []ScaledGroup `json:"scaled,omitempty"`
	Scalings []Scaling     `json:"scalings,omitempty"`
	// Problems tell users what is wrong and what to do, one line each.
	Problems []string `json:"problems,omitempty"`
	// Notes tell users where the cluster does not do what their objects ask for, one line
	// each. Nothing is wrong with the cluster.
	Notes []string `json:"notes,omitempty"`
	// Records is nil if nothing is recorded.
	Records *Records `json:"records,omitempty"`
	// Saved describes the memory that is kept on disk while the cluster is stopped; nil if
	// there is none.
	Saved *Saved `json:"saved,omitempty"`
	// Origin is the snapshot from which the cluster was made: CLUSTER/SNAPSHOT.
	Origin string `json:"origin,omitempty"`
	// Snapshots is how many snapshots the cluster has.
	Snapshots int `json:"snapshots,omitempty"`
	// Timings of the last Apply, in seconds by phase, the slowest node's.
	Timings map[string]float64 `json:"timings,omitempty"`
	// DaemonPID is the process on the host that runs the machines.
	DaemonPID int `json:"daemonPID"`
}

// Simulated counts the simulated nodes of a cluster.
type Simulated struct {
	Nodes int `json:"nodes"`
	Ready int `json:"ready"`
}

// String returns the count in one line: "500 simulated nodes, 3 not Ready".
func (s *Simulated) String() string {
	text := fmt.Sprintf("%d simulated nodes", s.Nodes)
	if s.Nodes == 1 {
		text = "1 simulated node"
	}
	if s.Ready < s.Nodes {
		text += fmt.Sprintf(", %d not Ready", s.Nodes-s.Ready)
	}
	return text
}

// PhaseText is the phase for people, with what becomes of the memory.
func (c *ClusterStatus) PhaseText() string {
	if c.Saved != nil {
		return c.Phase + ", memory kept"
	}
	return c.Phase
}

// Saved is the memory of machines on disk.
type Saved struct {
	// Machines is how many machines "skiff up" will try to resume.
	Machines int `json:"machines"`
	// Time is when the last one was saved.
	Time time.Time `json:"time"`
	// Bytes is the space that they take.
	Bytes int64 `json:"bytes"`
}

// Records is what is recorded of a cluster now.
type Records struct {
	// MetricsSeries is how many series of metrics were recorded recently.
	MetricsSeries int `json:"metricsSeries"`
}

// CertificateSoon is how long before its expiry a certificate becomes a problem: it
// should have been renewed long before.
const CertificateSoon = 30 * 24 * time.Hour

// NodeStatus is one node of ClusterStatus.
type NodeStatus struct {
	Name    string `json:"name"`
	Role    string `json:"role"`
	Address string `json:"address"`
	// Zone is the node's zone.
	Zone string `json:"zone,omitempty"`
	// Arch is the architecture of its machine if that is not the host's, which emulates it.
	Arch string `json:"arch,omitempty"`
	// Machine is "absent", "stopped", "running", "paused" or "saved": its memory is on disk.
	Machine string `json:"machine"`
	// MachineMessage is how the machine ended, if it ended by itself.
	MachineMessage string `json:"machineMessage,omitempty"`
	// Faults are the active faults of the node, in a few words each: "killed (kill-1)".
	Faults []string `json:"faults,omitempty"`
	// Agent reports whether the node API answers.
	Agent bool `json:"agent"`
	// Ready is the status of the node's Ready condition: "True", "False", "Unknown",
	// or empty if the node is not registered.
	Ready string `json:"ready"`
	// Reason for a Ready other than True.
	Reason string `json:"reason,omitempty"`
	// Group is the group of nodes that it belongs to.
	Group string `json:"group"`
	CPUs  int    `json:"cpus"`
	// MemoryMiB is what the guest was given; HostMemoryMiB the proportional set
	// size of the machine's process on the host, 0 where it cannot be read.
	MemoryMiB     int `json:"memoryMiB"`
	HostMemoryMiB int `json:"hostMemoryMiB"`
	// HostCPUSeconds is the CPU time that the machine has used on the host since it
	// started, 0 where it cannot be read.
	HostCPUSeconds float64 `json:"hostCPUSeconds"`
	// DiskMiB is the size of its disk.
	DiskMiB int `json:"diskMiB"`
	// Cordoned nodes take no new pods.
	Cordoned bool `json:"cordoned,omitempty"`
	// Image is the digest of the node image that its machine runs, Kubernetes the release of
	// its kubelet; empty while that is unknown.
	Image      string `json:"image,omitempty"`
	Kubernetes string `json:"kubernetes,omitempty"`
	// Outdated is set if the host has another node image for the cluster's version of
	// Kubernetes: "skiff upgrade" gives it to the node.
	Outdated bool `json:"outdated,omitempty"`
	// DiskUsedBytes is the space that the machine's files use on the host.
	DiskUsedBytes int64     `json:"diskUsedBytes"`
	Started       time.Time `json:"started,omitzero"`
	// Certificates that the node holds, in the order of their expiry; none while it
	// does not answer.
	Certificates []nodeapi.Certificate `json:"certificates,omitempty"`
}

// OutdatedText describes a node with an older node image than this host has, for users; empty
// for any other.
func (n NodeStatus) OutdatedText() string {
	if !n.Outdated {
		return ""
	}
	return strings.TrimSpace("older node image "+n.Kubernetes) + ": see `skiff upgrade --plan`"
}

// Condition returns the node's state in one or two words: the state of its machine
// unless that is running, "booting", "not registered", "Unknown", "NotReady" or
// "Ready".
func (n NodeStatus) Condition() string {
	switch {
	case n.Machine != "running":
		return n.Machine
	case !n.Agent:
		return "booting"
	case n.Ready == "True":
		return "Ready"
	case n.Ready == "":
		return "not registered"
	case n.Ready == "Unknown":
		return "Unknown"
	default:
		return "NotReady"
	}
}

// Standby tells when a cluster is paused because nobody uses it.
type Standby struct {
	// After is how long nobody must have used it, as in pause.idle: "15m".
	After string `json:"after"`
	// Uses is what uses it now, in words, and how many of each.
	Uses map[string]int `json:"uses"`
}

// String formats it in one line for users.
func (s Standby) String() string {
	text := fmt.Sprintf("after %s without use", s.After)
	var uses []string
	for _, kind := range slices.Sorted(maps.Keys(s.Uses)) {
		uses = append(uses, fmt.Sprintf("%s (%d)", kind, s.Uses[kind]))
	}
	if len(uses) > 0 {
		text += "; now in use by " + strings.Join(uses, ", ")
	}
	return text
}
