package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/drivers"
	"github.com/skiff-dev/skiff/vm/fleet"
	"github.com/skiff-dev/skiff/vm/offline"
	"github.com/skiff-dev/skiff/vm/operation"
	"github.com/skiff-dev/skiff/vm/records"
	"github.com/skiff-dev/skiff/vm/snapshot"
	"github.com/skiff-dev/skiff/vm/standby"
)

// active returns the running change other than a down, nil if there is none. The
// caller holds d.mu.
func (d *daemon) active() *operation.Operation {
	if d.working == nil || !d.working.Running() {
		return nil
	}
	return d.working
}

// unavailable returns why the open cluster cannot be changed now, nil if it can.
// The caller holds d.mu.
func (d *daemon) unavailable() *daemonapi.Failure {
	switch active := d.active(); {
	case d.leaving != nil:
		return operation.Busy(d.leaving.Kind())
	case active != nil:
		return operation.Busy(active.Kind())
	case d.fleet == nil:
		return operation.Stopped()
	}
	return nil
}

// change is what an operation does. It returns a message for users.
type change func(ctx context.Context, f *fleet.Fleet, op *operation.Operation) (string, error)

// begin starts a change of the open cluster, or joins one of the same kind.
func (d *daemon) begin(life context.Context, kind operation.Kind, change change) (*operation.Operation, *daemonapi.Failure) {
	d.yield()
	if kind != operation.KindPause && kind != operation.KindResume {
		d.rouse(life)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if active := d.active(); d.leaving == nil && active != nil && active.Kind() == kind {
		return active, nil
	}
	if failure := d.unavailable(); failure != nil {
		return nil, failure
	}
	f := d.fleet
	return d.start(life, kind, nil, func(ctx context.Context, op *operation.Operation) (string, error) {
		return change(ctx, f, op)
	}), nil
}

// beginClosed starts a change for which the cluster need not be open, or joins one of the same
// kind. The caller has called yield.
func (d *daemon) beginClosed(life context.Context, kind operation.Kind, do func(context.Context, *operation.Operation) (string, error)) (*operation.Operation, *daemonapi.Failure) {
	d.mu.Lock()
	defer d.mu.Unlock()
	active := d.active()
	switch {
	case d.leaving != nil:
		return nil, operation.Busy(d.leaving.Kind())
	case active != nil && active.Kind() == kind:
		return active, nil
	case active != nil:
		return nil, operation.Busy(active.Kind())
	}
	return d.start(life, kind, nil, do), nil
}

// beginApply starts an apply, or joins one of the same spec.
func (d *daemon) beginApply(life context.Context, spec cluster.Spec, draining daemonapi.Draining) (*operation.Operation, *daemonapi.Failure) {
	d.yield()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.leaving != nil {
		return nil, operation.Busy(d.leaving.Kind())
	}
	if active := d.active(); active != nil {
		if active.Kind() != operation.KindApply {
			return nil, operation.Busy(active.Kind())
		}
		if d.desired.Same(spec) {
			return active, nil
		}
		return nil, &daemonapi.Failure{Cause: "another change is in progress", Hint: "wait until it is done, or stop it with \"skiff down\""}
	}
	return d.start(life, operation.KindApply, &spec, func(ctx context.Context, op *operation.Operation) (string, error) {
		return d.apply(ctx, op, spec, draining)
	}), nil
}

// start runs an operation from its first event to its last. The caller holds d.mu.
func (d *daemon) start(life context.Context, kind operation.Kind, desired *cluster.Spec, do func(context.Context, *operation.Operation) (string, error)) *operation.Operation {
	ctx, cancel := context.WithCancelCause(life)
	op := operation.New(kind, cancel)
	d.working, d.desired = op, desired
	used := func() {}
	if kind != operation.KindSleep && kind != operation.KindWake {
		used = d.standby.Hold(standby.Changes)
	}
	d.tasks.Go(func() {
		defer used()
		defer cancel(nil)
		op.Begin("", daemonapi.PhaseCluster, "")
		message, err := do(ctx, op)
		if err == nil {
			d.log.Info("operation done", "operation", kind, "message", message)
			op.Finish(message, nil)
			return
		}
		if cause := context.Cause(ctx); cause != nil {
			err = fmt.Errorf("interrupted: %w", cause)
		}
		d.log.Error("operation failed", "operation", kind, "error", err)
		op.Finish("", operation.AsFailure(err, d.dir.Log()))
	})
	return op
}

// apply brings the cluster to spec by a plan, whose first step opens the cluster
// if it is not open.
func (d *daemon) apply(ctx context.Context, op *operation.Operation, spec cluster.Spec, draining daemonapi.Draining) (string, error) {
	f, err := d.prepare(ctx, op, spec)
	if err != nil {
		return "", err
	}
	f.FollowHost(ctx)
	return settle(ctx, f, op, draining)
}

// settle updates an open cluster to its desired state.
func settle(ctx context.Context, f *fleet.Fleet, op *operation.Operation, draining daemonapi.Draining) (string, error) {
	observed, err := f.Observe(ctx)
	if err != nil {
		return "", err
	}
	steps := cluster.Plan(f.Spec(), observed)
	if len(steps) == 0 {
		return daemonapi.NothingToDo, nil
	}
	return "", f.Apply(ctx, op, steps, draining)
}

// prepare opens the cluster, or gives the open one its new spec.
func (d *daemon) prepare(ctx context.Context, op *operation.Operation, spec cluster.Spec) (*fleet.Fleet, error) {
	if f := d.open(); f != nil {
		return f, f.SetSpec(spec)
	}
	event := daemonapi.Event{
		Phase: daemonapi.PhasePrepare, State: daemonapi.StateRunning,
		Message: "certificates, network, acceleration", Step: string(cluster.ActionPrepare),
	}
	op.Add(event)
	// One that failed, in this process, may have taken effect.
	if err := d.endRestoreSnapshot(); err != nil {
		return nil, err
	}
	machines := d.config.Machines
	if machines == nil {
		machines = drivers.Open
	}
	f, err := fleet.Open(ctx, fleet.Config{
		Dir: d.dir, Cache: d.config.Home.Cache(), ImageDir: d.config.ImageDir, Executable: d.config.Executable,
		Machines: machines, Registry: d.config.Registry, Services: d.config.Services, Standby: d.standby, Logs: d.config.Logs, Limits: d.config.Limits, Log: d.log,
	}, spec)
	if err != nil {
		failure := operation.AsFailure(err, d.dir.Log())
		op.End("", daemonapi.PhasePrepare, failure)
		return nil, failure
	}
	d.mu.Lock()
	d.fleet = f
	d.mu.Unlock()
	driver, runs := f.Describe()
	d.log.Info("cluster is open", "driver", driver, "runs", runs)
	event.State, event.Message = daemonapi.StateDone, runs
	op.Add(event)
	return f, nil
}

// plan returns the steps that apply would take.
func (d *daemon) plan(ctx context.Context, spec cluster.Spec) ([]cluster.Step, error) {
	if f := d.open(); f != nil {
		observed, err := f.Observe(ctx)
		return cluster.Plan(spec.Settled(f.Spec()), observed), err
	}
	state, err := cluster.ReadState(d.dir.State())
	if err != nil && !cluster.IsAbsent(err) {
		return nil, err
	}
	return cluster.Plan(spec.Settled(state.Spec), offline.Observe(d.dir, state)), nil
}

// beginDown starts to take the cluster down, or joins that. It interrupts a stop.
func (d *daemon) beginDown(request daemonapi.DownRequest) *operation.Operation {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.leaving != nil && d.leaving.Kind() == operation.KindDown {
		return d.leaving
	}
	stopping := d.leaving
	op := operation.New(operation.KindDown, nil)
	d.leaving = op
	d.tasks.Go(func() {
		if stopping != nil {
			stopping.Cancel(operation.ErrDown)
			<-stopping.Done()
		}
		if err := d.down(op, request.KeepRecords); err != nil {
			d.log.Error("cluster not removed", "error", err)
			op.Finish("", operation.AsFailure(err, d.dir.Log()))
			d.mu.Lock()
			defer d.mu.Unlock()
			d.leaving = nil // it may be tried again
			return
		}
		op.Finish("removed", nil)
		d.end()
	})
	return op
}

// beginStop starts to save the machines or to shut them down, after which the daemon ends.
// It joins a stop or a down that is running.
func (d *daemon) beginStop(life context.Context, request daemonapi.StopRequest) *operation.Operation {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.leaving != nil {
		return d.leaving
	}
	ctx, cancel := context.WithCancelCause(life)
	op := operation.New(operation.KindStop, cancel)
	d.leaving = op
	working := d.working
	d.tasks.Go(func() {
		defer cancel(nil)
		op.Begin("", daemonapi.PhaseStop, "")
		if working != nil {
			working.Cancel(operation.ErrStop)
			<-working.Done()
		}
		message := "stopped"
		if f := d.open(); f != nil {
			message = d.endMachines(ctx, f, op, request)
		}
		if cause := context.Cause(ctx); cause != nil {
			op.Finish("", operation.AsFailure(fmt.Errorf("interrupted: %w", cause), ""))
			return
		}
		op.End("", daemonapi.PhaseStop, nil)
		d.log.Info(message)
		op.Finish(message, nil)
		d.end()
	})
	return op
}

// endMachines saves the machines or shuts them down, and returns a message for users.
func (d *daemon) endMachines(ctx context.Context, f *fleet.Fleet, op *operation.Operation, request daemonapi.StopRequest) string {
	if !request.Shutdown {
		op.Begin("", daemonapi.PhaseSave, "")
		bytes, err := f.Save(ctx, op)
		switch {
		case err == nil && bytes == 0:
			return "stopped"
		case err == nil:
			op.End("", daemonapi.PhaseSave, nil)
			return fmt.Sprintf("stopped; %d MiB of memory kept on disk", (bytes+1<<20-1)>>20)
		case ctx.Err() != nil:
			return ""
		case !errors.Is(err, errors.ErrUnsupported):
			d.log.Warn("memory not kept", "error", err)
			op.End("", daemonapi.PhaseSave, &daemonapi.Failure{Cause: fmt.Sprintf("memory not kept, shutting down instead: %v", err)})
		}
	}
	cutOff := f.PowerOff(ctx, op)
	if len(cutOff) == 0 {
		return "stopped"
	}
	return "stopped; powered off without a clean shutdown: " + strings.Join(cutOff, ", ")
}

// down stops other operations, ends the machines and removes everything that they
// kept, except for the records if keepRecords is set.
func (d *daemon) down(op *operation.Operation, keepRecords bool) error {
	op.Begin("", daemonapi.PhaseCluster, "")
	op.Begin("", daemonapi.PhaseStop, "")
	d.mu.Lock()
	working := d.working
	d.mu.Unlock()
	if working != nil {
		working.Cancel(operation.ErrDown)
	}
	if f := d.open(); f != nil && keepRecords {
		f.DrainLogs(context.Background())
	}
	d.closeFleet()
	op.End("", daemonapi.PhaseStop, nil)
	op.Begin("", daemonapi.PhaseDelete, "")
	if keepRecords {
		if _, err := records.Keep(d.dir, time.Now()); err != nil {
			return err
		}
	}
	if err := offline.Sweep(d.dir); err != nil {
		return err
	}
	op.End("", daemonapi.PhaseDelete, nil)
	return nil
}

// unfinishedUpgrade returns one line for users if an upgrade is not finished.
func unfinishedUpgrade(status daemonapi.ClusterStatus) []string {
	switch u := status.Upgrade; {
	case u == nil:
		return nil
	case u.Failed == "":
		return []string{fmt.Sprintf("The upgrade (%s) was interrupted: run \"skiff upgrade %s\" to continue it.", u.Change, status.Name)}
	default:
		return []string{fmt.Sprintf("The upgrade (%s) stopped, because %s: run \"skiff upgrade %s\" to try again.", u.Change, u.Failed, status.Name)}
	}
}

// status returns what the daemon sees now.
func (d *daemon) status(ctx context.Context) daemonapi.ClusterStatus {
	d.mu.Lock()
	f, active := d.fleet, d.active()
	d.mu.Unlock()
	var kind operation.Kind
	if active != nil {
		kind = active.Kind()
	}
	var status daemonapi.ClusterStatus
	if f != nil {
		status = f.Status(ctx)
		if kind != operation.KindRotate && kind != operation.KindForget && f.Rotating() {
			status.Problems = append(status.Problems, "The rotation of the encryption key is not finished: run \"skiff secrets rotate\".")
		}
		if kind != operation.KindAuthorities && !f.Shared() && f.RotatingAuthorities() {
			status.Problems = append(status.Problems, "The replacement of the cluster's authorities is not finished: run \"skiff pki rotate\".")
		}
		if kind != operation.KindRestore && kind != operation.KindApply && f.Restoring() {
			status.Problems = append(status.Problems, "A restore of the database was interrupted: run \"skiff up\" to finish or undo it.")
		}
		if active == nil {
			status.Problems = append(status.Problems, unfinishedUpgrade(status)...)
		}
	} else {
		var err error
		if status, err = offline.Status(d.dir); err != nil {
			status = offline.Unreadable(d.config.Name, err)
		}
		if active != nil && snapshot.Pending(d.dir) { // it is not interrupted
			status.Problems = nil
		}
		status.DaemonPID = os.Getpid()
	}
	offline.MarkOutdated(d.config.ImageDir, &status)
	if kind == operation.KindApply || kind == operation.KindResume || kind == operation.KindWake {
		status.Phase = "starting"
	}
	return status
}
