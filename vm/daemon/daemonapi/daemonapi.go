// Package daemonapi is what the command line and a cluster's daemon say to
// each other over the daemon's unix socket: HTTP/1.1 with JSON. Plain data.
package daemonapi

import (
	"fmt"
	"time"

	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
)

// Routes. NODE is a node's name.
const (
	// PathStatus: GET answers ClusterStatus.
	PathStatus = "/v1/status"
	// PathPlan: POST of a cluster.Spec answers the cluster.Steps that PathApply
	// would take.
	PathPlan = "/v1/plan"
	// PathApply: POST of a cluster.Spec brings the cluster there. The answer is
	// a stream of Event, one JSON object a line, ending with one whose Done is
	// set. A second Apply while one runs joins it if the Spec is the same, and
	// is refused with 409 otherwise. The work goes on when the client leaves.
	PathApply = "/v1/apply"
	// PathDown: POST stops the machines, deletes the cluster's directory and
	// ends the daemon; streams Event as Apply does. It cancels a running Apply.
	PathDown = "/v1/down"
	// PathKubeconfig: GET answers the admin kubeconfig in YAML.
	PathKubeconfig = "/v1/kubeconfig"
	// PathRotate: POST exchanges the key of secrets at rest, or goes on with that;
	// streams Event as Apply does. A second one while one runs joins it; it is
	// refused with 409 while an Apply runs.
	PathRotate = "/v1/secrets/rotate"
	// PathReadmit: POST lets the control planes read what retired keys encrypted,
	// before a snapshot of that time is restored; answers 204.
	PathReadmit = "/v1/secrets/readmit"
	// PathPause: POST freezes all machines that run, with their memory, or none;
	// streams Event as Apply does. A second one while one runs joins it; it is
	// refused with 409 during other work.
	PathPause = "/v1/pause"
	// PathResume: POST lets all paused machines go on, sets their clocks and waits
	// until their nodes are Ready; streams Event as Apply does. A second one while
	// one runs joins it; it is refused with 409 during other work.
	PathResume = "/v1/resume"
	// PathRestart: POST to PathRestart + NODE restarts a node and waits until it is
	// Ready; streams Event as Apply does. The first event with PhaseBoot means that
	// the node has accepted.
	PathRestart = "/v1/restart/"
	// PathStop: POST lets the guests shut down, within a limit, and ends the daemon;
	// disks are kept. Streams Event as Apply does: PhaseStop fails for a machine that
	// had to be cut off. It cancels what is running.
	PathStop = "/v1/stop"
	// PathNode: everything below /v1/nodes/NODE is passed to the node API (package
	// nodeapi) of that node, /v1/nodes/NODE/v1/exec for one, upgrades included.
	PathNode = "/v1/nodes/"
)

// Event is one line of progress.
type Event struct {
	Time time.Time `json:"time"`
	// Node is empty for what concerns the whole cluster.
	Node  string `json:"node,omitempty"`
	Phase Phase  `json:"phase"`
	State State  `json:"state"`
	// Message is one line for users.
	Message string `json:"message,omitempty"`
	// Step is the step of the plan that runs or is done, as its dry run shows it
	// without the reason: "start worker-1".
	Step string `json:"step,omitempty"`
	// Seconds the phase took, with StateDone and StateFailed.
	Seconds float64  `json:"seconds,omitempty"`
	Failure *Failure `json:"failure,omitempty"`
	// Done is set on the last event of a stream.
	Done bool `json:"done,omitempty"`
}

// Phase is a part of bringing a cluster up or down.
type Phase string

// The phases, in the order in which people see them.
const (
	PhasePrepare      Phase = "prepare"       // certificates, disks
	PhaseBoot         Phase = "boot"          // until the node API answers
	PhaseControlPlane Phase = "control-plane" // until the API server is ready
	PhaseJoin         Phase = "join"          // until the node is registered
	PhaseReady        Phase = "ready"         // until the node is Ready
	PhaseCluster      Phase = "cluster"       // the whole of it
	PhaseDrain        Phase = "drain"
	PhaseStop         Phase = "stop"
	PhaseDelete       Phase = "delete"
	PhasePause        Phase = "pause"
	PhaseResume       Phase = "resume" // until the node's clock is right

	// Of a rotation of the key of secrets at rest.
	PhaseLoad    Phase = "load"    // every control plane has loaded the keys
	PhaseAdd     Phase = "add"     // a new key is the second
	PhasePromote Phase = "promote" // the new key encrypts
	PhaseRewrite Phase = "rewrite" // every secret is written again
	PhaseRemove  Phase = "remove"  // the old key is gone
)

// State of a phase.
type State string

// The states.
const (
	StateRunning State = "running"
	StateDone    State = "done"
	StateFailed  State = "failed"
)

// Failure is an error for people.
type Failure struct {
	// Cause is what went wrong, one line.
	Cause string `json:"cause"`
	// Log is the file on the host or the command that shows more.
	Log string `json:"log,omitempty"`
	// Hint says what to do.
	Hint string `json:"hint,omitempty"`
	// Invalid is set when the input was at fault and nothing was changed.
	Invalid bool `json:"invalid,omitempty"`
}

// Error is the cause, so that a Failure travels as an error.
func (f *Failure) Error() string { return f.Cause }

// Paused is why nothing can be asked of the nodes of a cluster, and what to do:
// all in one line.
func Paused(name string) *Failure {
	return &Failure{Cause: fmt.Sprintf("cluster %q is paused: `skiff resume %s` lets it go on", name, name)}
}

// ClusterStatus is what the daemon sees.
type ClusterStatus struct {
	Name string `json:"name"`
	// Phase is "absent", "starting", "running", "degraded", "paused" or "stopped".
	Phase  string `json:"phase"`
	Driver string `json:"driver"`
	// Accelerator says in one line what runs the machines.
	Accelerator string `json:"accelerator"`
	// Server is the API's URL on the host.
	Server string `json:"server"`
	// APIReady is the answer of /readyz just now.
	APIReady   bool         `json:"apiReady"`
	Kubernetes string       `json:"kubernetes"`
	Nodes      []NodeStatus `json:"nodes"`
	// Problems are for people: what is wrong and what to do, a line each.
	Problems []string `json:"problems,omitempty"`
	// Timings of the last Apply, in seconds by phase, the slowest node's.
	Timings map[string]float64 `json:"timings,omitempty"`
	// DaemonPID is the process on the host that holds the machines.
	DaemonPID int `json:"daemonPID"`
}

// CertificateSoon is how little a certificate may have left before people are
// told: it is renewed long before, so something has kept it from that.
const CertificateSoon = 30 * 24 * time.Hour

// NodeStatus is one node of ClusterStatus.
type NodeStatus struct {
	Name    string `json:"name"`
	Role    string `json:"role"`
	Address string `json:"address"`
	// Machine is "absent", "stopped", "running" or "paused".
	Machine string `json:"machine"`
	// MachineMessage says how the machine ended, if it ended by itself.
	MachineMessage string `json:"machineMessage,omitempty"`
	// Agent says whether the node API answers.
	Agent bool `json:"agent"`
	// Ready is the Kubernetes node's condition: "True", "False", "Unknown" or
	// empty if it is not registered.
	Ready string `json:"ready"`
	// Reason for a Ready other than True.
	Reason string `json:"reason,omitempty"`
	CPUs   int    `json:"cpus"`
	// MemoryMiB is what the guest was given; HostMemoryMiB the proportional set
	// size of the machine's process on the host, 0 where it cannot be read.
	MemoryMiB     int `json:"memoryMiB"`
	HostMemoryMiB int `json:"hostMemoryMiB"`
	// HostCPUSeconds is the processor time that the machine has taken of the
	// host since it started, 0 where it cannot be read.
	HostCPUSeconds float64 `json:"hostCPUSeconds"`
	// DiskUsedBytes is what the machine's files take on the host.
	DiskUsedBytes int64     `json:"diskUsedBytes"`
	Started       time.Time `json:"started,omitzero"`
	// Certificates that the node holds now, the one that ends first at first;
	// none while it does not answer.
	Certificates []nodeapi.Certificate `json:"certificates,omitempty"`
}

// Condition is the node's state in one word, the first thing that is wrong:
// what its machine is, "booting", "not registered", "Unknown", "NotReady" or
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
