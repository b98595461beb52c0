// Package controlapi is the protocol between the host and the process of a
// control plane: HTTP/1.1 with JSON on a unix socket of the node, to which the
// node API forwards. It holds plain data, the handler that serves a Service and
// the client that calls one; it uses nothing but the standard library.
package controlapi

import (
	"context"
	"errors"
	"io"
)

// Prefix is what all routes begin with.
const Prefix = "/v1/controlplane/"

// Routes. The node API forwards exactly these.
const (
	// PathStatus: GET answers Status. It is answered from the moment the process
	// starts, also while etcd is held.
	PathStatus = Prefix + "status"
	// PathDrain: POST answers 204 once the control plane serves no clients.
	PathDrain = Prefix + "drain"
	// PathKeys: GET answers Keys.
	PathKeys = Prefix + "keys"
	// PathRoom: POST of a RoomRequest answers Room.
	PathRoom = Prefix + "room"
	// PathSecretKeys: GET answers a JSON object, see Etcd.SecretKeys.
	PathSecretKeys = Prefix + "etcd/keys"
	// PathMembers: GET answers a list of EtcdMember.
	PathMembers = Prefix + "etcd/members"
	// PathRemove: POST of a RemoveRequest answers 204.
	PathRemove = Prefix + "etcd/remove"
	// PathSnapshot: GET streams a snapshot of the database. A connection that
	// breaks before the end means that the snapshot is incomplete.
	PathSnapshot = Prefix + "etcd/snapshot"
	// PathDefragment: POST answers 204.
	PathDefragment = Prefix + "etcd/defragment"
	// PathCompact: POST answers 204.
	PathCompact = Prefix + "etcd/compact"
	// PathStage: PUT of a snapshot answers SnapshotInfo.
	PathStage = Prefix + "restore/stage"
	// PathHold, PathReplace and PathRevert: POST of a RestoreRequest answers 204.
	PathHold    = Prefix + "restore/hold"
	PathReplace = Prefix + "restore/replace"
	PathRevert  = Prefix + "restore/revert"
	// PathRelease: POST of a ReleaseRequest answers 204.
	PathRelease = Prefix + "restore/release"
)

// Patterns returns every route as method and path, as http.ServeMux takes them.
func Patterns() []string {
	return []string{
		"GET " + PathStatus, "POST " + PathDrain, "GET " + PathKeys, "POST " + PathRoom,
		"GET " + PathMembers, "GET " + PathSecretKeys, "POST " + PathRemove, "GET " + PathSnapshot, "POST " + PathDefragment, "POST " + PathCompact,
		"PUT " + PathStage, "POST " + PathHold, "POST " + PathReplace, "POST " + PathRevert, "POST " + PathRelease,
	}
}

// MaxSnapshotBytes bounds a snapshot: etcd's quota of 2 GiB and some room for
// the pages that etcd may use beyond it.
const MaxSnapshotBytes = 2<<30 + 64<<20

// Errors that travel from a Service to the caller of a Client.
var (
	// ErrRefused means that the control plane's state does not allow the request.
	ErrRefused = errors.New("refused")
	// ErrInvalid means that the request or the snapshot is not valid; nothing was
	// changed.
	ErrInvalid = errors.New("invalid")
)

// Service is a control plane as the host operates it. All methods but Snapshot
// may be repeated: a request that was carried out already succeeds.
type Service interface {
	Process
	Etcd
	Restore
}

// Process is the control plane's process.
type Process interface {
	// Status reports the state of the control plane.
	Status(ctx context.Context) (Status, error)
	// Drain stops serving clients and returns when that is done: leases are given
	// back, requests have ended, and clients connect elsewhere. The etcd member
	// continues, since the others may not be a majority without it. A control plane
	// that still exists two minutes later starts again.
	Drain(ctx context.Context) error
	// Keys reports which keys for secrets at rest are loaded.
	Keys(ctx context.Context) (Keys, error)
	// Room reports which nodes the pods of the cluster need, and which they do not. It
	// changes nothing. It is ErrRefused unless this control plane schedules.
	Room(ctx context.Context, r RoomRequest) (Room, error)
}

// Etcd is the etcd cluster by way of one member.
type Etcd interface {
	// Members asks every member for its status.
	Members(ctx context.Context) ([]EtcdMember, error)
	// SecretKeys counts the stored secrets by the name of the key that encrypts
	// them; those under "" are not encrypted.
	SecretKeys(ctx context.Context) (map[string]int, error)
	// Remove takes a member out of the cluster. A leader hands over first.
	Remove(ctx context.Context, r RemoveRequest) error
	// Snapshot writes a snapshot of the database, with a checksum, to out.
	Snapshot(ctx context.Context, out io.Writer) error
	// Defragment compacts the history, returns unused space to the file system on
	// every member, and clears the alarm of a full database.
	Defragment(ctx context.Context) error
	// Compact discards all revisions but the last.
	Compact(ctx context.Context) error
}

// Restore replaces the data of the etcd cluster, step by step, on the
// host's order. The host stages and verifies the snapshot on the first member,
// holds all members, replaces the data of the first and releases it. Only when it
// serves do the others drop their data and join it. Until then, Revert and
// Release bring back what there was. Every step survives a crash of the process
// and of the node.
type Restore interface {
	// Stage stores a snapshot after verifying it. Nothing else changes.
	Stage(ctx context.Context, snapshot io.Reader) (SnapshotInfo, error)
	// Hold ends the process; the next one serves this API alone and leaves etcd
	// and its data untouched until Release.
	Hold(ctx context.Context, r RestoreRequest) error
	// Replace makes the data that of the staged snapshot, as the only member of a
	// new cluster. The member must be held. An error leaves the data as it was.
	Replace(ctx context.Context, r RestoreRequest) error
	// Revert drops the staged snapshot and, if Replace was carried out, brings
	// back the data from before; for that the member must be held.
	Revert(ctx context.Context, r RestoreRequest) error
	// Release lets a held control plane start.
	Release(ctx context.Context, r ReleaseRequest) error
}

// State of a control plane.
type State string

// The states.
const (
	StateStarting State = "starting" // not serving yet
	StateServing  State = "serving"  // the API server is ready
	StateDrained  State = "drained"  // serves no clients anymore
	StateHeld     State = "held"     // etcd is not started until Release
)

// Status is the state of a control plane.
type Status struct {
	State State `json:"state"`
	// ClusterID is the etcd cluster's, in hexadecimal; empty until etcd serves.
	ClusterID string `json:"clusterID,omitempty"`
	// Held is the ID of the restore for which etcd is held, empty if it is not.
	Held string `json:"held,omitempty"`
	// Restored is the ID of the restore that made the data, empty if none did.
	Restored string `json:"restored,omitempty"`
	// Alarms tell the user what is wrong and what to do, one line each.
	Alarms []string `json:"alarms,omitempty"`
	// PeerAuthorities is the sum (pki.BundleSum) of the authorities that etcd trusts for its
	// connections to other members; empty until etcd has started.
	PeerAuthorities string `json:"peerAuthorities,omitempty"`
}

// Keys are those of secrets at rest.
type Keys struct {
	// Loaded is the SHA-256 of the encryption configuration that the API server
	// uses, in hexadecimal.
	Loaded string `json:"loaded"`
}

// EtcdMember is the status of one etcd member.
type EtcdMember struct {
	ID string `json:"id"`
	// Name is empty for a member that was added and not yet started.
	Name    string `json:"name"`
	Address string `json:"address"`
	// Learner is true for a member without a vote.
	Learner bool `json:"learner"`
	Leader  bool `json:"leader"`
	// Error says why the member does not answer; empty if it does.
	Error string `json:"error,omitempty"`
	// DatabaseBytes is the size of the database file, InUseBytes what a
	// defragmentation would leave of it.
	DatabaseBytes int64 `json:"databaseBytes"`
	InUseBytes    int64 `json:"inUseBytes"`
	// RaftIndex is the last entry of the log that the member has.
	RaftIndex uint64 `json:"raftIndex"`
	// QuotaBytes is the size at which etcd raises an alarm and refuses writes; 0
	// if the member does not answer.
	QuotaBytes int64    `json:"quotaBytes"`
	Alarms     []string `json:"alarms,omitempty"`
}

// RemoveRequest names a member by name or address.
type RemoveRequest struct {
	Name    string `json:"name"`
	Address string `json:"address"`
}

// RestoreRequest is a step of the restore called ID.
type RestoreRequest struct {
	ID string `json:"id"`
}

// ReleaseRequest ends the hold of the restore called ID.
type ReleaseRequest struct {
	ID string `json:"id"`
	// Join, if not empty, names the member whose cluster is joined. The member
	// drops its own data for that.
	Join string `json:"join,omitempty"`
}

// SnapshotInfo describes a verified snapshot.
type SnapshotInfo struct {
	// SHA256 is the checksum at the end of the snapshot, in hexadecimal.
	SHA256   string `json:"sha256"`
	Bytes    int64  `json:"bytes"`
	Revision int64  `json:"revision"`
}
