package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/skiff-dev/skiff/controlplane/pki"
	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/credentials"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/driver"
	"github.com/skiff-dev/skiff/vm/drivers"
	"github.com/skiff-dev/skiff/vm/fleet"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/offline"
	"github.com/skiff-dev/skiff/vm/operation"
	"github.com/skiff-dev/skiff/vm/snapshot"
	"github.com/skiff-dev/skiff/vm/template"
)

const (
	// foreignPeriod is how often to check whether the cluster has keys of another one.
	foreignPeriod = time.Second
	// foreignRetry is how long to wait after a failure to replace them.
	foreignRetry = 30 * time.Second
)

// postClone begins to make the cluster from a snapshot of another.
func (d *daemon) postClone(life context.Context, w http.ResponseWriter, r *http.Request) {
	var request cluster.CloneRequest
	if !readRequest(w, r, &request) {
		return
	}
	if err := d.checkClone(request); err != nil {
		writeFailure(w, http.StatusUnprocessableEntity, operation.Joined(err))
		return
	}
	d.yield()
	op, failure := d.beginClosed(life, operation.KindClone(request.Origin.String()), func(ctx context.Context, op *operation.Operation) (string, error) {
		return d.clone(ctx, op, request)
	})
	d.answer(w, r, op, failure)
}

// checkClone returns why the cluster cannot be made as requested.
func (d *daemon) checkClone(request cluster.CloneRequest) error {
	if err := d.checkName(request.Spec); err != nil {
		return err
	}
	state, err := cluster.ReadState(d.dir.State())
	switch {
	case err == nil:
		return offline.CheckCloned(state, request.Origin)
	case !cluster.IsAbsent(err):
		return err
	}
	return offline.Check(d.dir, request.Spec, d.config.Host(d.config.Home), cluster.State{}, false)
}

// clone makes the cluster from a snapshot, unless that is done already, and starts it. Nothing
// exists of it until one step, in which its state file gets its name.
func (d *daemon) clone(ctx context.Context, op *operation.Operation, request cluster.CloneRequest) (string, error) {
	state, err := cluster.ReadState(d.dir.State())
	switch {
	case cluster.IsAbsent(err):
		if state, err = d.makeClone(ctx, op, request); err != nil {
			_, undone := snapshot.Recover(d.dir)
			d.dropTemplate(request.Origin.Template, err)
			return "", errors.Join(snapshotFailure(err), undone)
		}
		d.useTemplate(request.Origin.Template)
	case err != nil:
		return "", err
	}
	f, err := d.prepare(ctx, op, state.Spec)
	if err != nil {
		return "", err
	}
	f.FollowHost(ctx)
	if message, err := settle(ctx, f, op, daemonapi.Draining{}); err != nil {
		return message, err
	}
	return "made from " + request.Origin.String(), nil
}

// useTemplate records that a cluster begins with a template, which is not among those that are
// removed first then.
func (d *daemon) useTemplate(key string) {
	if key == "" {
		return
	}
	if err := template.Touch(d.config.Home, key, time.Now()); err != nil {
		d.log.Warn("cannot record that a template is used", "template", key, "error", err)
	}
}

// dropTemplate removes a template that cannot be used because of err, so that another one can be
// made.
func (d *daemon) dropTemplate(key string, err error) {
	var damaged *driver.DamagedError
	if key == "" || !errors.As(err, &damaged) && !errors.Is(err, snapshot.ErrDamaged) {
		return
	}
	if err := template.Remove(d.config.Home, key); err != nil {
		d.log.Warn("cannot remove a damaged template", "template", key, "error", err)
	}
}

// makeClone makes the files of the cluster and returns its state.
func (d *daemon) makeClone(ctx context.Context, op *operation.Operation, request cluster.CloneRequest) (state cluster.State, err error) {
	from, err := template.Source(d.config.Home, request.Origin)
	if err != nil {
		return state, operation.Invalid(err, "")
	}
	if _, err := snapshot.Read(from, request.Origin.Snapshot); err != nil { // the lock would create it
		return state, err
	}
	lock, err := from.ShareSnapshots()
	if err != nil {
		return state, err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	m, err := snapshot.Read(from, request.Origin.Snapshot)
	if err != nil {
		return state, err
	}
	then, err := snapshot.State(from, m)
	if err != nil {
		return state, err
	}
	if faults := cluster.CheckClone(then, request.Spec); len(faults) > 0 {
		return state, operation.Invalid(errors.Join(faults...), "")
	}
	if err := checkImages(d.config.ImageDir, then.Spec); err != nil {
		return state, err
	}
	now := time.Now()
	files, err := cloneCredentials(from, m, then, request.Memory, now)
	if err != nil {
		return state, err
	}
	origin := cluster.Origin{Template: request.Origin.Template, Cluster: request.Origin.Cluster, Snapshot: m.Name, Taken: m.Created, Shared: request.Memory}
	state = then.Clone(request.Spec, origin, now)
	machines, err := snapshot.StageClone(d.dir, from, m, state, files)
	if err != nil {
		return state, err
	}
	unpack := d.config.Unpacker
	if unpack == nil {
		unpack = drivers.Unpacker
	}
	unpacker, err := unpack(d.dir, m.Driver)
	if err != nil {
		return state, operation.Invalid(err, "")
	}
	if err := fleet.UnpackClone(ctx, op, unpacker, d.dir, from, m, machines, request.Memory); err != nil {
		return state, err
	}
	d.log.Info("cluster made from a snapshot", "snapshot", origin)
	return state, snapshot.Commit(d.dir)
}

// cloneCredentials returns the credentials with which a clone begins: those of the cluster in
// from if its machines continue with the memory of that one's.
func cloneCredentials(from home.Cluster, m snapshot.Manifest, then cluster.State, memory bool, now time.Time) (pki.Files, error) {
	ring, err := snapshot.Keyring(from, m)
	if err != nil {
		return nil, err
	}
	if !memory {
		return credentials.Clone(ring, now)
	}
	const hint = "make the clone without --with-memory"
	if err := offline.CheckMemory(m, then); err != nil {
		return nil, operation.Invalid(err, hint)
	}
	set, err := credentials.Read(from.PKI())
	if err != nil {
		return nil, err
	}
	files, err := set.CloneRunning(ring, now)
	if errors.Is(err, credentials.ErrRotating) {
		return nil, operation.Invalid(fmt.Errorf("cluster %q cannot be cloned with its memory: %w", from.Name(), err), hint)
	}
	return files, err
}

// watchForeign replaces what the cluster shares with that in the snapshot from which it was
// made, once it works. A change that a user asks for interrupts that.
func (d *daemon) watchForeign(life context.Context) {
	for period := foreignPeriod; pause.For(life, period) == nil; {
		period = foreignPeriod
		f := d.open()
		if f == nil || !f.Foreign() && !f.Joined() || d.standby.Asleep() || f.Paused(life) {
			continue
		}
		var failed error
		op := d.beginOwn(life, f, operation.KindForget, func(ctx context.Context, op *operation.Operation) (message string, err error) {
			if f.Foreign() {
				message, failed = f.Rotate(ctx, op)
			} else {
				message, failed = f.Part(ctx, op)
			}
			return message, failed
		})
		if op == nil {
			continue
		}
		<-op.Done()
		if failed != nil {
			period = foreignRetry
		}
	}
}

// checkName returns a failure for the configuration of another cluster.
func (d *daemon) checkName(spec cluster.Spec) error {
	if spec.Name == d.config.Name {
		return nil
	}
	return operation.Invalid(fmt.Errorf("this is the daemon of cluster %s, not %s", d.config.Name, spec.Name), "")
}
