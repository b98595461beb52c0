// Package nodeapi is the protocol between the host and a node's PID 1: HTTP/1.1 over
// mutual TLS 1.3. It has only data and a codec; the server is nodeagent/boot/api, the
// client vm/node.
package nodeapi

import (
	"encoding/json"
	"time"
)

// Routes.
const (
	// PathStatus: GET answers Status.
	PathStatus = "/v1/status"
	// PathLogs: GET with ?source=NAME&follow=true&tail=N streams plain text.
	// Sources are the names of Status.Programs, "kernel" and "init".
	PathLogs = "/v1/logs"
	// PathExec: POST of an ExecRequest with "Connection: Upgrade" and
	// "Upgrade: skiff-exec"; after 101 both sides speak frames (Reader, Writer).
	PathExec = "/v1/exec"
	// PathPower: POST of a PowerRequest; answers 202 and then acts.
	PathPower = "/v1/power"
	// PathClock: POST of a ClockRequest sets the node's clock.
	PathClock = "/v1/clock"
	// PathDisk: POST of a DiskRequest fills the node's own disk on purpose, or ends that;
	// answers 204 once it is done. Answers 422 if the disk is the host's.
	PathDisk = "/v1/disk"
	// PathGrow: POST grows the file system of the node's own disk to the size of the disk;
	// answers 204 when it has grown.
	PathGrow = "/v1/grow"
	// PathFiles: POST of a FilesRequest replaces files of the node document while
	// the node runs; answers 204. Their readers notice the change.
	PathFiles = "/v1/files"
	// PathHost: POST of a nodeconfig.Host replaces the settings that the node takes
	// over from the host; answers 204.
	PathHost = "/v1/host"
	// PathIdentity: POST of an IdentityRequest gives a node whose memory was copied what it
	// must not share with another copy; answers 204. Programs that read the document only
	// when they start have the new one once they are restarted.
	PathIdentity = "/v1/identity"
	// PathBuilder: POST with ?sha256=DIGEST, "Connection: Upgrade" and "Upgrade:
	// skiff-builder" starts the builder with that digest if it is not running; after
	// 101 the connection carries BuildKit's API. Answers 412 if the node does not have
	// that program.
	PathBuilder = "/v1/builder"
	// PathBuilderProgram: PUT of the builder's program with ?sha256=DIGEST installs it,
	// which stops another one; answers 204.
	PathBuilderProgram = "/v1/builder/program"
	// PathPrograms: GET answers the SHA-256 digests of the container runtimes' programs that
	// the host has sent, by name (package nodeconfig), as a JSON object. PUT of a program to
	// PathPrograms/NAME?sha256=DIGEST installs it; answers 204. Both answer 503 until the
	// node's own disk is mounted.
	PathPrograms = "/v1/programs"
	// UpgradeExec and UpgradeBuilder are values of the Upgrade header.
	UpgradeExec    = "skiff-exec"
	UpgradeBuilder = "skiff-builder"
)

const (
	// ProgramBuilder is the name of the builder in Status.Programs.
	ProgramBuilder = "builder"
	// MaxProgramBytes bounds a program that the host sends.
	MaxProgramBytes = 256 << 20
)

// Status is what a node reports about itself.
type Status struct {
	Node string `json:"node"`
	// BootID is the kernel's; it changes at every boot.
	BootID string `json:"bootID"`
	// UptimeSeconds since the kernel started.
	UptimeSeconds float64   `json:"uptimeSeconds"`
	Time          time.Time `json:"time"`
	Programs      []Program `json:"programs"`
	// Boot lists what PID 1 did, with the kernel uptime at which each ended.
	Boot []BootStep `json:"boot"`
	// Problems are the errors of PID 1 since the boot, empty on a healthy node.
	Problems []string `json:"problems,omitempty"`
	// Alarms are messages of programs to the user, such as what to do
	// (nodeconfig.AlarmsDir), one per line.
	Alarms []string `json:"alarms,omitempty"`
	// Certificates are the node's own, in order of expiry, without authorities.
	Certificates []Certificate `json:"certificates,omitempty"`
	// Trust has the SHA-256 sums, in hexadecimal, of files below nodeconfig.PKIDir that say
	// what the node trusts or signs with, by path.
	Trust map[string]string `json:"trust,omitempty"`
	// MemoryTotalKiB and MemoryAvailableKiB as in /proc/meminfo.
	MemoryTotalKiB     int64 `json:"memoryTotalKiB"`
	MemoryAvailableKiB int64 `json:"memoryAvailableKiB"`
	// DiskTotalBytes and DiskFreeBytes of the node's own disk.
	DiskTotalBytes int64 `json:"diskTotalBytes"`
	DiskFreeBytes  int64 `json:"diskFreeBytes"`
}

// Certificate is one of a node's own certificates.
type Certificate struct {
	// Name as in package pki, for example "etcd/peer".
	Name    string    `json:"name"`
	Expires time.Time `json:"expires"`
	// Subject is its common name.
	Subject string `json:"subject,omitempty"`
	// Issuer is the ID of the authority's key, in hexadecimal.
	Issuer string `json:"issuer,omitempty"`
}

// Program is a supervised program.
type Program struct {
	Name string `json:"name"`
	// PID is 0 while the program is not running.
	PID      int       `json:"pid"`
	Restarts int       `json:"restarts"`
	Started  time.Time `json:"started"`
	// LastExit is how it last ended, "" if it never has.
	LastExit string `json:"lastExit,omitempty"`
}

// BootStep is a step of the boot.
type BootStep struct {
	Name string `json:"name"`
	// EndSeconds is the kernel's uptime at the end of the step.
	EndSeconds float64 `json:"endSeconds"`
}

// ExecRequest starts a program on the node.
type ExecRequest struct {
	// Args[0] is looked up in the node's PATH.
	Args []string `json:"args"`
	// Env is added to the node's environment.
	Env []string `json:"env,omitempty"`
	TTY bool     `json:"tty,omitempty"`
	// Rows and Columns of the terminal, with TTY.
	Rows    uint16 `json:"rows,omitempty"`
	Columns uint16 `json:"columns,omitempty"`
}

// Actions of a PowerRequest.
const (
	PowerActionOff     = "off"
	PowerActionRestart = "restart"
)

// PowerRequest turns the node off or restarts it.
type PowerRequest struct {
	// Action is PowerActionOff or PowerActionRestart.
	Action string `json:"action"`
}

// ClockRequest sets the node's clock.
type ClockRequest struct {
	Time time.Time `json:"time"`
	// AheadSeconds is how far the clock is set ahead of Time on purpose, negative for
	// behind. The node API checks certificates at Time all the same.
	AheadSeconds float64 `json:"aheadSeconds,omitempty"`
}

// DiskRequest fills the node's own disk.
type DiskRequest struct {
	// FullSeconds is how long the disk is full; 0 ends that at once.
	FullSeconds float64 `json:"fullSeconds"`
}

// RandomBytes is how many random bytes an IdentityRequest has at least.
const RandomBytes = 32

// IdentityRequest is what a node must not share with other copies of its memory.
type IdentityRequest struct {
	// Random bytes of the host, from which the kernel seeds its random generator again.
	Random []byte `json:"random"`
	// Document replaces the node document, with its files and what else follows from it in
	// /etc. It has the node's name, role and network; empty if they all stay.
	Document json.RawMessage `json:"document,omitempty"`
}

// FilesRequest replaces files below nodeconfig.PKIDir.
type FilesRequest struct {
	// Files by path, as in nodeconfig.Node.
	Files map[string][]byte `json:"files"`
}
