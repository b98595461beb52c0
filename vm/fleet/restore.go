package fleet

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/skiff-dev/skiff/internal/snapshot"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/operation"
	"github.com/skiff-dev/skiff/vm/restore"
)

// Restore replaces the etcd database by the verified snapshot at
// home.Cluster.RestoreSnapshot and returns a message for users. It first finishes
// or undoes a restore that was interrupted.
func (f *Fleet) Restore(ctx context.Context, op *operation.Operation, info snapshot.Info) (string, error) {
	if err := f.undisturbed(ctx); err != nil {
		return "", err
	}
	r, done, err := f.restoration(ctx, op)
	if err != nil {
		return "", err
	}
	defer done()
	found, err := r.Recover(ctx)
	if err != nil {
		return "", f.restoreFailure(err)
	}
	if found.SHA256 == info.SHA256 && found.Finished() {
		return "the interrupted restore of this snapshot is finished", nil
	}
	// The snapshot may contain secrets under a key that was rotated since.
	if err := f.readmit(ctx); err != nil {
		return "", err
	}
	if err := r.Run(ctx, rand.Text(), info.SHA256); err != nil {
		return "", f.restoreFailure(err)
	}
	return fmt.Sprintf("restored to revision %d", info.Revision), nil
}

// Restoring reports whether a restore was begun and is not finished.
func (f *Fleet) Restoring() bool { return restore.Pending(f.dir.Restore()) }

// endRestore finishes or undoes a restore that was interrupted and returns a
// message for users.
func (e *executor) endRestore(ctx context.Context) (string, error) {
	r, done, err := e.restoration(ctx, e.op)
	if err != nil {
		return "", err
	}
	defer done()
	found, err := r.Recover(ctx)
	switch {
	case err != nil:
		return "", e.restoreFailure(err)
	case found.ID == "":
		return "", nil
	case found.Finished():
		return "the interrupted restore is finished", nil
	default:
		return "the interrupted restore is undone", nil
	}
}

func (c *core) restoreFailure(err error) error {
	failure := &daemonapi.Failure{
		Cause: err.Error(), Log: c.dir.Log(),
		Hint: "run \"skiff etcd restore\" again, or \"skiff up\" to finish or undo the restore",
	}
	if errors.Is(err, restore.ErrUndone) {
		failure.Hint = "the cluster continues with its previous data"
	}
	return failure
}

// restoration returns a restore of the cluster; done must be called after it. All
// control planes must be running: one that is not could come back with the data
// from before, and two of those are a majority of the old cluster.
func (c *core) restoration(ctx context.Context, op *operation.Operation) (r *restore.Restore, done func(), err error) {
	probe := c.api.probe()
	r = &restore.Restore{
		File: c.dir.Restore(), Snapshot: c.dir.RestoreSnapshot(),
		Progress: op, Limit: c.limits.ControlPlane,
	}
	for _, n := range append(c.state.controlPlanes(), c.state.leaving()...) {
		if !c.machines.running(ctx, n.Name) {
			return nil, nil, &daemonapi.Failure{
				Cause: n.Name + " is not running, and every control plane is needed to restore the database",
				Hint:  "run \"skiff up\" first",
			}
		}
		r.Planes = append(r.Planes, restore.ControlPlane{
			Name: n.Name, API: c.nodes.client(n).ControlPlane(),
			Ready: func(ctx context.Context) error { return fetch(ctx, probe, n, "/readyz") },
		})
	}
	return r, probe.CloseIdleConnections, nil
}
