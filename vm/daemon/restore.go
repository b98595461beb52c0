package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"

	"github.com/skiff-dev/skiff/controlplane/controlapi"
	"github.com/skiff-dev/skiff/internal/snapshot"
	"github.com/skiff-dev/skiff/vm/fleet"
	"github.com/skiff-dev/skiff/vm/operation"
)

// postRestore verifies the snapshot before anything changes.
func (d *daemon) postRestore(life context.Context, w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	failure := d.unavailable()
	d.mu.Unlock()
	if failure == nil && !d.receiving.TryLock() {
		failure = operation.Busy(operation.KindRestore)
	}
	if failure != nil {
		writeFailure(w, http.StatusConflict, failure)
		return
	}
	info, err := d.receiveSnapshot(http.MaxBytesReader(w, r.Body, controlapi.MaxSnapshotBytes))
	if err != nil {
		d.dropSnapshot()
		writeFailure(w, http.StatusUnprocessableEntity, operation.AsFailure(err, d.dir.Log()))
		return
	}
	op, failure := d.begin(life, operation.KindRestore, func(ctx context.Context, f *fleet.Fleet, op *operation.Operation) (string, error) {
		defer d.dropSnapshot()
		return f.Restore(ctx, op, info)
	})
	if failure != nil {
		d.dropSnapshot()
	}
	d.answer(w, r, op, failure)
}

// receiveSnapshot stores a snapshot in the cluster's directory and verifies it.
// The caller has locked d.receiving and calls dropSnapshot afterwards.
func (d *daemon) receiveSnapshot(body io.Reader) (snapshot.Info, error) {
	f, err := os.OpenFile(d.dir.RestoreSnapshot(), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return snapshot.Info{}, fmt.Errorf("store the snapshot: %w", err)
	}
	_, err = io.Copy(f, body)
	if err := errors.Join(err, f.Close()); err != nil {
		return snapshot.Info{}, fmt.Errorf("store the snapshot: %w", err)
	}
	info, err := snapshot.Verify(f.Name())
	if errors.Is(err, snapshot.ErrInvalid) {
		err = operation.Invalid(err, "nothing was changed")
	}
	return info, err
}

// dropSnapshot removes the stored snapshot, which contains all secrets of the
// cluster, and unlocks d.receiving.
func (d *daemon) dropSnapshot() {
	if err := os.Remove(d.dir.RestoreSnapshot()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.log.Warn("cannot remove a snapshot", "error", err)
	}
	d.receiving.Unlock()
}
