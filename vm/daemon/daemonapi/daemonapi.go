// Package daemonapi is the API that a cluster's daemon serves on its unix socket:
// HTTP/1.1 with JSON. It is plain data.
package daemonapi

import (
	"fmt"
	"net/url"
	"strconv"
	"time"
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
	// or updates it. The query is that of Draining.
	PathApply = "/v1/apply"
	// PathUpgradePlan: POST of an UpgradeRequest returns the cluster.UpgradePlan that
	// PathUpgrade would carry out. It returns 422 if the upgrade is not possible.
	PathUpgradePlan = "/v1/upgrade-plan"
	// PathUpgrade: POST of an UpgradeRequest starts the operation that gives all nodes
	// another node image. It returns 422 if that is not possible; nothing has changed then.
	PathUpgrade = "/v1/upgrade"
	// PathRemoveNodes and PathReplaceNodes: POST of a NodesRequest starts the operation that
	// removes nodes, or makes new machines for them.
	PathRemoveNodes  = "/v1/remove-nodes"
	PathReplaceNodes = "/v1/replace-nodes"
	// PathDown: POST of a DownRequest starts the operation that ends the machines,
	// deletes the cluster's directory and ends the daemon. It cancels any other
	// operation. A request that joins a running one has no effect on it.
	PathDown = "/v1/down"
	// PathStop: POST of a StopRequest starts the operation that writes the machines'
	// memory to disk, if the driver can and unless the request asks for a shutdown, ends
	// the machines and ends the daemon. If memory cannot be kept, PhaseSave fails, and the
	// guests shut down, each within a limit; PhaseStop fails for a machine that had to be
	// powered off. Disks are kept. It cancels any other operation but a down. A request
	// that joins a running one has no effect on it.
	PathStop = "/v1/stop"
	// PathPause: POST starts the operation that freezes all running machines, with
	// their memory, or none.
	PathPause = "/v1/pause"
	// PathPauseIdle: POST of a PauseIdle changes when the cluster is paused by itself. It
	// returns 422 if the setting is invalid; nothing has changed then.
	PathPauseIdle = "/v1/pause-idle"
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
	// PathPKI: GET returns PKI.
	PathPKI = "/v1/pki"
	// PathRotateAuthorities: POST of a RotateAuthorities starts the operation that replaces
	// the cluster's authorities, or continues it. A request that joins a running one has no
	// effect on it.
	PathRotateAuthorities = "/v1/pki/rotate"
	// PathRestore: POST of an etcd snapshot starts the operation that replaces the
	// database by it. It returns 422 if the snapshot is invalid; nothing has changed
	// then.
	PathRestore = "/v1/etcd/restore"
	// PathSnapshot: POST of a SnapshotRequest starts the operation that makes a snapshot of the
	// running cluster. It returns 422 if that is not possible; nothing has changed then.
	PathSnapshot = "/v1/snapshot"
	// PathRestoreSnapshot: POST of a SnapshotRequest starts the operation that makes the
	// cluster, running or stopped, what it was in a snapshot, and starts it.
	PathRestoreSnapshot = "/v1/snapshot/restore"
	// PathClone: POST of a cluster.CloneRequest starts the operation that makes the cluster from a
	// snapshot of another, or continues it. It returns 422 if that is not possible; nothing has
	// changed then.
	PathClone = "/v1/clone"
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
	// PathFiles is for files that are the same on several nodes. GET answers 204 if the
	// nodes' file systems are part of this host's, otherwise 501. In the first case, PUT
	// writes the body to the file "name" on each "node". The file's directory must exist, and
	// the body must have the SHA-256 sum "sum".
	PathFiles = "/v1/files"
	// PathNode: every request below PathNode + NODE is forwarded to the node API
	// (package nodeapi) of that node, upgrades included: /v1/nodes/worker-1/v1/exec.
	PathNode = "/v1/nodes/"
)

// Draining is how long pods may take to leave a node before it is removed, replaced or
// restarted.
type Draining struct {
	// Timeout for each node; 0 is the daemon's default.
	Timeout time.Duration `json:"timeout,omitempty"`
	// Force continues when pods have not left in time, which is an error otherwise.
	Force bool `json:"force,omitempty"`
}

// Query returns the settings as a URL's query, empty if there are none.
func (d Draining) Query() string {
	if d == (Draining{}) {
		return ""
	}
	return "?" + url.Values{"drainTimeout": {d.Timeout.String()}, "force": {strconv.FormatBool(d.Force)}}.Encode()
}

// ParseDraining reads what Query returns.
func ParseDraining(query url.Values) (d Draining, err error) {
	if text := query.Get("drainTimeout"); text != "" {
		if d.Timeout, err = time.ParseDuration(text); err != nil || d.Timeout < 0 {
			return d, fmt.Errorf("invalid drain timeout %q", text)
		}
	}
	d.Force = query.Get("force") == "true"
	return d, nil
}

// PauseIdle says when the cluster is paused by itself.
type PauseIdle struct {
	// Idle is the value of the setting pause.idle.
	Idle string `json:"idle"`
}

// NodesRequest names nodes to remove or to replace.
type NodesRequest struct {
	Names []string `json:"names"`
	Draining
}

// DownRequest configures the removal of a cluster.
type DownRequest struct {
	// KeepRecords moves the cluster's records to those of deleted clusters.
	KeepRecords bool `json:"keepRecords,omitempty"`
	// Snapshots deletes the cluster's snapshots, too. Without it, a cluster that has any is
	// not removed.
	Snapshots bool `json:"snapshots,omitempty"`
}

// SnapshotRequest names a snapshot.
type SnapshotRequest struct {
	Name string `json:"name"`
}

// StopRequest configures the end of a cluster's machines.
type StopRequest struct {
	// Shutdown lets the guests shut down instead of keeping their memory.
	Shutdown bool `json:"shutdown,omitempty"`
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
	PhaseClear        Phase = "clear"         // faults that are active on purpose
	PhaseBoot         Phase = "boot"          // until the node API answers
	PhaseControlPlane Phase = "control-plane" // until the API server is ready
	PhaseAdopt        Phase = "adopt"         // authorities and tokens in the objects of a clone
	PhaseJoin         Phase = "join"          // until the node is registered
	PhaseReady        Phase = "ready"         // until the node is Ready
	PhaseCluster      Phase = "cluster"       // the whole operation
	PhaseAddons       Phase = "addons"        // until addons are applied and ready
	PhaseConfigure    Phase = "configure"     // until Kubernetes' components run with new settings
	PhaseLabel        Phase = "label"         // labels and taints
	PhaseSimulate     Phase = "simulate"      // simulated nodes
	PhaseGrow         Phase = "grow"          // disks
	PhaseSnapshot     Phase = "snapshot"      // the database is saved on the host
	PhaseDrain        Phase = "drain"
	PhaseRestart      Phase = "restart"
	PhaseUncordon     Phase = "uncordon"
	PhaseStop         Phase = "stop"
	PhaseDelete       Phase = "delete"
	PhasePause        Phase = "pause"
	PhaseResume       Phase = "resume" // until the node's clock is right
	PhaseSave         Phase = "save"   // until memory is on disk
	PhaseCopy         Phase = "copy"   // until a machine is copied for a snapshot, or from one

	// Phases of a rotation of the encryption key of secrets.
	PhaseLoad    Phase = "load"    // every control plane has loaded the keys
	PhaseAdd     Phase = "add"     // a new key can decrypt
	PhasePromote Phase = "promote" // the new key encrypts
	PhaseRewrite Phase = "rewrite" // every secret has been written again
	PhaseRemove  Phase = "remove"  // the old key has been removed

	// Phases of a rotation of authorities.
	PhaseTrust    Phase = "trust"    // new authorities are trusted beside the old ones
	PhaseIssue    Phase = "issue"    // new authorities sign
	PhaseDistrust Phase = "distrust" // old authorities are not trusted
	PhaseForget   Phase = "forget"   // old tokens are refused

	// Of a restore of the etcd database.
	PhaseVerify  Phase = "verify"  // the snapshot is valid
	PhaseHold    Phase = "hold"    // a control plane has stopped and keeps its data
	PhaseReplace Phase = "replace" // the first control plane serves the snapshot's data; elsewhere: a new machine replaces another
	PhaseRejoin  Phase = "rejoin"  // another control plane serves it as well
	PhaseUndo    Phase = "undo"    // all have the data from before
	PhaseRestore Phase = "restore" // an interrupted restore was finished or undone
)

// NothingToDo is the message of an operation that found everything as it should be.
const NothingToDo = "nothing to do"

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
	// Paused is set if the nodes of a paused cluster would have to answer.
	Paused bool `json:"paused,omitempty"`
}

// Error returns the cause.
func (f *Failure) Error() string { return f.Cause }

// Paused returns the failure of a request that the nodes of a paused cluster
// would have to answer, in one line.
func Paused(name string) *Failure {
	return &Failure{Cause: fmt.Sprintf("cluster %q is paused: run `skiff resume %s` first", name, name), Paused: true}
}
