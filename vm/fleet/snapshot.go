package fleet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/driver"
	"github.com/skiff-dev/skiff/vm/offline"
	"github.com/skiff-dev/skiff/vm/operation"
	"github.com/skiff-dev/skiff/vm/snapshot"
)

// Snapshot makes a snapshot of the running cluster. Most is copied while the machines run. For
// the rest all of them are paused at once, and continue before checksums are computed. After an
// error, the machines run.
func (f *Fleet) Snapshot(ctx context.Context, op *operation.Operation, draft *snapshot.Draft) (snapshot.Manifest, error) {
	copier, names, err := f.copyable(ctx)
	if err != nil {
		return snapshot.Manifest{}, err
	}
	dirs := map[string]string{}
	for _, name := range names {
		if dirs[name], err = draft.Machine(name); err != nil {
			return snapshot.Manifest{}, err
		}
	}
	f.nodes.sync(ctx, f.state.members())
	if err := eachMachine(ctx, op, daemonapi.PhaseCopy, names, func(ctx context.Context, name string) error {
		return copier.Precopy(ctx, name, dirs[name])
	}); err != nil {
		return snapshot.Manifest{}, err
	}
	state := f.state.current()
	m := snapshot.Manifest{
		Created: time.Now().UTC(), Driver: state.Spec.Driver, Kubernetes: state.Kubernetes,
		Minor: state.Spec.KubernetesVersion, Image: state.Image,
	}
	paused, err := f.whilePaused(ctx, op, names, func(ctx context.Context) error {
		group, ctx := errgroup.WithContext(ctx)
		group.Go(draft.Keep)
		for _, name := range names {
			group.Go(func() error { return copier.Capture(ctx, name, dirs[name]) })
		}
		return group.Wait()
	})
	if err != nil {
		return m, err
	}
	m.PausedSeconds = paused.Seconds()
	m.Machines = make([]snapshot.Machine, len(names))
	err = eachMachine(ctx, op, daemonapi.PhaseVerify, names, func(ctx context.Context, name string) error {
		described, err := copier.Seal(ctx, name, dirs[name])
		for i := range names {
			if names[i] == name {
				m.Machines[i] = snapshot.Machine{Name: name, Snapshot: described}
			}
		}
		return err
	})
	if err == nil {
		err = draft.Commit(m)
	}
	return m, err
}

// copyable returns the driver and the names of all machines if they can be copied, with room
// for the copies.
func (f *Fleet) copyable(ctx context.Context) (driver.Snapshotter, []string, error) {
	copier, err := f.Snapshotter()
	if err != nil {
		return nil, nil, err
	}
	if err := f.undisturbed(ctx); err != nil {
		return nil, nil, err
	}
	if f.Restoring() {
		return nil, nil, &daemonapi.Failure{Cause: "a restore of the database was interrupted", Hint: "run \"skiff up\" first"}
	}
	if f.state.current().Upgrade != nil {
		return nil, nil, &daemonapi.Failure{Cause: "an upgrade is not finished", Hint: "continue it with \"skiff upgrade\" first"}
	}
	names, needMiB := f.state.names(), 0
	for _, name := range names {
		if !f.machines.running(ctx, name) {
			return nil, nil, &daemonapi.Failure{Cause: name + " is not running", Hint: "run \"skiff up\" first"}
		}
		bytes, err := copier.SnapshotBytes(ctx, name)
		if err != nil {
			return nil, nil, err
		}
		needMiB += int(bytes >> 20)
	}
	if err := enoughRoom(needMiB, offline.FreeMiB(string(f.dir)), string(f.dir)); err != nil {
		return nil, nil, &daemonapi.Failure{Cause: "not enough disk space: " + err.Error(), Hint: "\"skiff snapshot list\" shows what other snapshots take, and \"skiff prune\" frees space"}
	}
	return copier, names, nil
}

// Snapshotter returns the driver if it can copy machines.
func (f *Fleet) Snapshotter() (driver.Snapshotter, error) {
	copier, ok := f.machines.driver.(driver.Snapshotter)
	if !ok {
		return nil, operation.Invalid(fmt.Errorf("the driver %s cannot take snapshots", f.machines.driver.Name()), "")
	}
	return copier, nil
}

// eachMachine calls do for all machines at once, each as a phase.
func eachMachine(ctx context.Context, op *operation.Operation, phase daemonapi.Phase, names []string, do func(ctx context.Context, name string) error) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, name := range names {
		group.Go(func() error {
			op.Begin(name, phase, "")
			if err := do(ctx, name); err != nil {
				op.End(name, phase, operation.AsFailure(err, ""))
				return err
			}
			op.End(name, phase, nil)
			return nil
		})
	}
	return group.Wait()
}

// whilePaused calls do while all machines are paused, and returns how long they were. Clients
// of the API keep their connections: it is short.
func (f *Fleet) whilePaused(ctx context.Context, op *operation.Operation, names []string, do func(context.Context) error) (time.Duration, error) {
	op.Begin("", daemonapi.PhasePause, "")
	began := time.Now()
	var group errgroup.Group
	for _, name := range names {
		group.Go(func() error { return f.machines.driver.Pause(ctx, name) })
	}
	err := group.Wait()
	if err == nil {
		err = do(ctx)
	}
	resumed, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoLimit)
	defer cancel()
	err = errors.Join(err, f.continueAll(resumed, names))
	took := time.Since(began)
	f.nodes.setClocks(resumed)
	if err != nil {
		op.End("", daemonapi.PhasePause, operation.AsFailure(err, f.dir.Log()))
		return took, err
	}
	op.End("", daemonapi.PhasePause, nil)
	return took, nil
}

// continueAll resumes the machines that were paused.
func (f *Fleet) continueAll(ctx context.Context, names []string) error {
	var group errgroup.Group
	for _, name := range names {
		group.Go(func() error {
			if err := f.machines.driver.Resume(ctx, name); err != nil && !errors.Is(err, driver.ErrNotFound) {
				return fmt.Errorf("resume %s after it was copied: %w", name, err)
			}
			return nil
		})
	}
	err := group.Wait()
	f.api.balance()
	f.edge.Wake()
	return err
}

// Unpack makes the machines of a snapshot below a directory.
func (f *Fleet) Unpack(ctx context.Context, op *operation.Operation, m snapshot.Manifest, machines string) error {
	copier, err := f.Snapshotter()
	if err != nil {
		return err
	}
	return eachMachine(ctx, op, daemonapi.PhaseCopy, m.Names(), func(ctx context.Context, name string) error {
		return copier.Unpack(ctx, name, snapshot.MachineDir(f.dir, m.Name, name), machines, true)
	})
}

// Spare reports whether there is room for the disks of a snapshot beside those of the cluster.
func (f *Fleet) Spare(m snapshot.Manifest) error {
	err := enoughRoom(int(m.Bytes()>>20), offline.FreeMiB(string(f.dir)), string(f.dir))
	if err != nil {
		return &daemonapi.Failure{Cause: "not enough disk space: " + err.Error(), Hint: "remove a snapshot with \"skiff snapshot rm\", or run \"skiff prune\""}
	}
	return nil
}

// Restored returns the state with which the cluster of a snapshot is restored: that of the
// snapshot with the port of the API that clients know.
func (f *Fleet) Restored(then cluster.State) cluster.State {
	then.Spec.APIPort = f.state.spec().APIPort
	return then
}
