package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/driver"
	"github.com/skiff-dev/skiff/vm/drivers"
	"github.com/skiff-dev/skiff/vm/fleet"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/image"
	"github.com/skiff-dev/skiff/vm/operation"
	"github.com/skiff-dev/skiff/vm/snapshot"
)

// postSnapshot begins a snapshot of the running cluster.
func (d *daemon) postSnapshot(life context.Context, w http.ResponseWriter, r *http.Request) {
	var request daemonapi.SnapshotRequest
	if !readRequest(w, r, &request) {
		return
	}
	if err := snapshot.CheckName(request.Name); err != nil {
		writeFailure(w, http.StatusUnprocessableEntity, operation.Invalid(err, ""))
		return
	}
	op, failure := d.begin(life, operation.KindSnapshot(request.Name), func(ctx context.Context, f *fleet.Fleet, op *operation.Operation) (string, error) {
		return d.takeSnapshot(ctx, f, op, request.Name)
	})
	d.answer(w, r, op, failure)
}

func (d *daemon) takeSnapshot(ctx context.Context, f *fleet.Fleet, op *operation.Operation, name string) (message string, err error) {
	draft, err := snapshot.Begin(d.dir, name)
	if err != nil {
		return "", snapshotFailure(err)
	}
	defer func() { err = errors.Join(err, draft.Close()) }()
	m, err := f.Snapshot(ctx, op, draft)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("snapshot %s taken: %d MiB on disk; the machines were paused for %.2f s%s", name, m.Bytes()>>20, m.PausedSeconds, withoutMemory(m)), nil
}

// withoutMemory says for users that a snapshot has no memory, and why.
func withoutMemory(m snapshot.Manifest) string {
	if m.Memory() {
		return ""
	}
	var reasons []string
	for _, one := range m.Machines {
		if one.NoMemory != "" {
			reasons = append(reasons, one.NoMemory)
		}
	}
	if len(reasons) == 0 {
		return "; without memory: its machines boot when it is restored"
	}
	return "; without the memory of all machines, which boot when it is restored: " + strings.Join(reasons, ", ")
}

// snapshotFailure returns a failure if the user can do something about err.
func snapshotFailure(err error) error {
	var damaged *driver.DamagedError
	const list = "\"skiff snapshot list\" shows the snapshots"
	switch {
	case errors.Is(err, snapshot.ErrName):
		return operation.Invalid(err, "")
	case errors.Is(err, snapshot.ErrExists):
		return operation.Invalid(err, "choose another name, or remove it with \"skiff snapshot rm\"")
	case errors.Is(err, snapshot.ErrNone), errors.Is(err, snapshot.ErrDamaged):
		return operation.Invalid(err, list)
	case errors.As(err, &damaged):
		return operation.Invalid(err, "nothing was changed")
	case errors.Is(err, home.ErrLocked):
		return &daemonapi.Failure{Cause: "another command is changing the snapshots of the cluster", Hint: "wait until it is done and try again"}
	}
	return err
}

// postRestoreSnapshot begins the restore of a snapshot. The cluster may be stopped.
func (d *daemon) postRestoreSnapshot(life context.Context, w http.ResponseWriter, r *http.Request) {
	var request daemonapi.SnapshotRequest
	if !readRequest(w, r, &request) {
		return
	}
	m, err := snapshot.Read(d.dir, request.Name)
	if err != nil {
		writeFailure(w, http.StatusUnprocessableEntity, operation.AsFailure(snapshotFailure(err), d.dir.Log()))
		return
	}
	d.yield()
	d.rouse(life)
	op, failure := d.beginClosed(life, operation.KindRestoreSnapshot(m.Name), func(ctx context.Context, op *operation.Operation) (string, error) {
		return d.restoreSnapshot(ctx, op, m)
	})
	d.answer(w, r, op, failure)
}

// restoreSnapshot makes the cluster what it was in a snapshot. Until everything has been
// copied and checked, its machines run. Then they end at once, the files take the places of
// the cluster's in one step, and the cluster is opened again and starts as after a stop.
func (d *daemon) restoreSnapshot(ctx context.Context, op *operation.Operation, m snapshot.Manifest) (message string, err error) {
	lock, err := d.dir.AcquireSnapshots()
	if err != nil {
		return "", snapshotFailure(err)
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	then, err := d.restorable(m)
	if err != nil {
		return "", err
	}
	stopped := d.open() == nil
	f, err := d.openForRestore(ctx, op)
	if err != nil {
		return "", err
	}
	if err := d.unpack(ctx, op, f, m, then); err != nil {
		_, undone := snapshot.Recover(d.dir)
		if stopped {
			d.shut(f)
		}
		return "", errors.Join(snapshotFailure(err), undone)
	}
	op.Begin("", daemonapi.PhaseRestore, "replacing the machines")
	d.shut(f)
	if err := snapshot.Commit(d.dir); err != nil {
		return "", err
	}
	op.End("", daemonapi.PhaseRestore, nil)
	d.log.Info("snapshot restored", "snapshot", m.Name)
	if f, err = d.prepare(ctx, op, then.Spec); err != nil {
		return "", err
	}
	f.FollowHost(ctx)
	if message, err = settle(ctx, f, op, daemonapi.Draining{}); err != nil {
		return "", err
	}
	return fmt.Sprintf("snapshot %s restored", m.Name), nil
}

// shut ends the machines at once. The cluster is stopped then, and may be opened again.
func (d *daemon) shut(f *fleet.Fleet) {
	d.mu.Lock()
	d.fleet = nil
	d.mu.Unlock()
	d.endFleet(f)
}

// restorable returns the state in a snapshot if this host can start its cluster.
func (d *daemon) restorable(m snapshot.Manifest) (cluster.State, error) {
	then, err := snapshot.State(d.dir, m)
	if err != nil {
		return then, snapshotFailure(err)
	}
	return then, checkImages(d.config.ImageDir, then.Spec)
}

// checkImages returns a failure if dir lacks a node image that spec needs.
func checkImages(dir string, spec cluster.Spec) error {
	native, err := image.Find(dir, spec.KubernetesVersion)
	if err != nil {
		return operation.NoImage(err, spec.KubernetesVersion)
	}
	arch := cluster.ForeignArch(spec)
	if arch == "" {
		return nil
	}
	if _, err := image.FindForeign(dir, native, arch); err != nil {
		return operation.NoForeignImage(err, native.Minor, arch)
	}
	return nil
}

// openForRestore returns the open cluster, or opens it without starting machines.
func (d *daemon) openForRestore(ctx context.Context, op *operation.Operation) (*fleet.Fleet, error) {
	if f := d.open(); f != nil {
		return f, nil
	}
	now, err := cluster.ReadState(d.dir.State())
	if err != nil {
		return nil, err
	}
	return d.prepare(ctx, op, now.Spec)
}

// unpack prepares everything that takes the place of the cluster's files.
func (d *daemon) unpack(ctx context.Context, op *operation.Operation, f *fleet.Fleet, m snapshot.Manifest, then cluster.State) error {
	if err := f.Spare(m); err != nil {
		return err
	}
	machines, err := snapshot.Stage(d.dir, m, f.Restored(then))
	if err != nil {
		return err
	}
	return f.Unpack(ctx, op, m, machines)
}

// endRestoreSnapshot finishes or undoes the restore of a snapshot in which a daemon was
// killed.
func (d *daemon) endRestoreSnapshot() error {
	if snapshot.Pending(d.dir) {
		if err := drivers.Cleanup(d.dir); err != nil {
			return err
		}
	}
	outcome, err := snapshot.Recover(d.dir)
	if outcome != snapshot.Nothing {
		d.log.Warn("the restore of a snapshot was interrupted", "outcome", outcome)
	}
	return err
}
