// Package daemonapi is the API that a cluster's daemon serves on its unix socket:
// HTTP/1.1 with JSON. It is plain data.
package daemonapi

import (
	"fmt"
	"time"

	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
)

// Paths. NODE is a node's name.
//
// A POST that starts an operation answers with a stream of Event, one JSON object
// a line, of which the last has Done set. The operation continues when the client
// disconnects. If the same operation is running already, the request joins it;
// during any other it is refused with 409.
const (
	// PathStatus: GET returns ClusterStatus.
	PathStatus = "/v1/status"
	// PathPlan: POST of a cluster.Spec returns the cluster.Steps that PathApply
	// would run.
	PathPlan = "/v1/plan"
	// PathApply: POST of a cluster.Spec starts the operation that creates the cluster
	// or updates it.
	PathApply = "/v1/apply"
	// PathDown: POST of a DownRequest starts the operation that ends the machines,
	// deletes the cluster's directory and ends the daemon. It cancels any other
	// operation. A request that joins a running one has no effect on it.
	PathDown = "/v1/down"
	// PathStop: POST starts the operation that lets the guests shut down, each within
	// a limit, and ends the daemon. Disks are kept. PhaseStop fails for a machine that
	// had to be powered off. It cancels any other operation but a down.
	PathStop = "/v1/stop"
	// PathPause: POST starts the operation that freezes all running machines, with
	// their memory, or none.
	PathPause = "/v1/pause"
	// PathResume: POST starts the operation that resumes all paused machines, sets
	// their clocks and waits until their nodes are Ready.
	PathResume = "/v1/resume"
	// PathRestart: POST to PathRestart + NODE starts the operation that restarts a
	// node and waits until it is Ready. The first event of PhaseBoot means that the
	// node has accepted.
	PathRestart = "/v1/restart/"
	// PathRotate: POST starts the operation that replaces the encryption key of
	// secrets, or continues it.
	PathRotate = "/v1/secrets/rotate"
	// PathRestore: POST of an etcd snapshot starts the operation that replaces the
	// database by it. It returns 422 if the snapshot is invalid; nothing has changed
	// then.
	PathRestore = "/v1/etcd/restore"
	// PathKubeconfig: GET returns the administrator's kubeconfig in YAML.
	PathKubeconfig = "/v1/kubeconfig"
	// PathWebHosts: GET returns WebHosts.
	PathWebHosts = "/v1/web/hosts"
	// PathWebCertificate: GET with the query host=HOST returns the WebCertificate that an
	// Ingress names for the host; 404 if none does.
	PathWebCertificate = "/v1/web/certificate"
	// PathServices: GET returns Services.
	PathServices = "/v1/services"
	// PathPorts: POST of a PortChange opens or closes a port of the host and returns
	// Services. It returns 422 if that is not possible; nothing has changed then.
	PathPorts = "/v1/ports"
	// PathNode: every request below PathNode + NODE is forwarded to the node API
	// (package nodeapi) of that node, upgrades included: /v1/nodes/worker-1/v1/exec.
	PathNode = "/v1/nodes/"
)

// DownRequest configures the removal of a cluster.
type DownRequest struct {
	// KeepRecords moves the cluster's records to those of deleted clusters.
	KeepRecords bool `json:"keepRecords,omitempty"`
}

// WebHosts are the hosts of a cluster's Ingresses, wildcards included.
type WebHosts struct {
	Hosts []string `json:"hosts"`
}

// WebCertificate is a certificate and its key, in PEM.
type WebCertificate struct {
	Certificate []byte `json:"certificate"`
	Key         []byte `json:"key"`
}

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

// Phase is a part of an operation, as users see it.
type Phase string

// The phases, in the order in which users see them.
const (
	PhasePrepare      Phase = "prepare"       // certificates, disks
	PhaseBoot         Phase = "boot"          // until the node API answers
	PhaseControlPlane Phase = "control-plane" // until the API server is ready
	PhaseJoin         Phase = "join"          // until the node is registered
	PhaseReady        Phase = "ready"         // until the node is Ready
	PhaseCluster      Phase = "cluster"       // the whole operation
	PhaseConfigure    Phase = "configure"     // until Kubernetes' components run with new settings
	PhaseDrain        Phase = "drain"
	PhaseStop         Phase = "stop"
	PhaseDelete       Phase = "delete"
	PhasePause        Phase = "pause"
	PhaseResume       Phase = "resume" // until the node's clock is right

	// Phases of a rotation of the encryption key of secrets.
	PhaseLoad    Phase = "load"    // every control plane has loaded the keys
	PhaseAdd     Phase = "add"     // a new key can decrypt
	PhasePromote Phase = "promote" // the new key encrypts
	PhaseRewrite Phase = "rewrite" // every secret has been written again
	PhaseRemove  Phase = "remove"  // the old key has been removed

	// Of a restore of the etcd database.
	PhaseVerify  Phase = "verify"  // the snapshot is valid
	PhaseHold    Phase = "hold"    // a control plane has stopped and keeps its data
	PhaseReplace Phase = "replace" // the first control plane serves the snapshot's data
	PhaseRejoin  Phase = "rejoin"  // another control plane serves it as well
	PhaseUndo    Phase = "undo"    // all have the data from before
	PhaseRestore Phase = "restore" // an interrupted restore was finished or undone
)

// State of a phase.
type State string

// The states.
const (
	StateRunning State = "running"
	StateDone    State = "done"
	StateFailed  State = "failed"
)

// Failure is an error for users.
type Failure struct {
	// Cause is what went wrong, one line.
	Cause string `json:"cause"`
	// Log is the file on the host or the command that shows more.
	Log string `json:"log,omitempty"`
	// Hint says what to do.
	Hint string `json:"hint,omitempty"`
	// Invalid is set if the input was wrong and nothing was changed.
	Invalid bool `json:"invalid,omitempty"`
}

// Error returns the cause.
func (f *Failure) Error() string { return f.Cause }

// Paused returns the failure of a request that the nodes of a paused cluster
// would have to answer, in one line.
func Paused(name string) *Failure {
	return &Failure{Cause: fmt.Sprintf("cluster %q is paused: run `skiff resume %s` first", name, name)}
}

// ClusterStatus is the observed state of a cluster.
type ClusterStatus struct {
	Name string `json:"name"`
	// Phase is "absent", "starting", "running", "degraded", "paused" or "stopped".
	Phase  string `json:"phase"`
	Driver string `json:"driver"`
	// Accelerator is one line on what runs the machines.
	Accelerator string `json:"accelerator"`
	// Server is the API's URL on the host.
	Server string `json:"server"`
	// Web and WebTLS are the URLs of the cluster's Services on the host, with
	// SERVICE.NAMESPACE for the name of one; empty if they are not served.
	Web    string `json:"web,omitempty"`
	WebTLS string `json:"webTLS,omitempty"`
	// Tunnel is the device through which this host reaches all addresses of the
	// cluster; empty if it is not connected.
	Tunnel string `json:"tunnel,omitempty"`
	// APIReady reports whether the API server is ready.
	APIReady   bool         `json:"apiReady"`
	Kubernetes string       `json:"kubernetes"`
	Nodes      []NodeStatus `json:"nodes"`
	// Problems tell users what is wrong and what to do, one line each.
	Problems []string `json:"problems,omitempty"`
	// Records is nil if nothing is recorded.
	Records *Records `json:"records,omitempty"`
	// Timings of the last Apply, in seconds by phase, the slowest node's.
	Timings map[string]float64 `json:"timings,omitempty"`
	// DaemonPID is the process on the host that runs the machines.
	DaemonPID int `json:"daemonPID"`
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
	// Machine is "absent", "stopped", "running" or "paused".
	Machine string `json:"machine"`
	// MachineMessage is how the machine ended, if it ended by itself.
	MachineMessage string `json:"machineMessage,omitempty"`
	// Agent reports whether the node API answers.
	Agent bool `json:"agent"`
	// Ready is the status of the node's Ready condition: "True", "False", "Unknown",
	// or empty if the node is not registered.
	Ready string `json:"ready"`
	// Reason for a Ready other than True.
	Reason string `json:"reason,omitempty"`
	CPUs   int    `json:"cpus"`
	// MemoryMiB is what the guest was given; HostMemoryMiB the proportional set
	// size of the machine's process on the host, 0 where it cannot be read.
	MemoryMiB     int `json:"memoryMiB"`
	HostMemoryMiB int `json:"hostMemoryMiB"`
	// HostCPUSeconds is the CPU time that the machine has used on the host since it
	// started, 0 where it cannot be read.
	HostCPUSeconds float64 `json:"hostCPUSeconds"`
	// DiskUsedBytes is the space that the machine's files use on the host.
	DiskUsedBytes int64     `json:"diskUsedBytes"`
	Started       time.Time `json:"started,omitzero"`
	// Certificates that the node holds, in the order of their expiry; none while it
	// does not answer.
	Certificates []nodeapi.Certificate `json:"certificates,omitempty"`
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
