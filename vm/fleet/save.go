package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/driver"
	"github.com/skiff-dev/skiff/vm/machine"
	"github.com/skiff-dev/skiff/vm/offline"
	"github.com/skiff-dev/skiff/vm/operation"
)

// Save writes the memory of all machines to disk, or of none, and ends their processes. It
// returns the space that the memory takes, 0 if no machine has a process. After an error,
// which says why in one clause, nothing is saved and all machines run. It wraps
// errors.ErrUnsupported if the driver keeps no memory.
func (f *Fleet) Save(ctx context.Context, op *operation.Operation) (bytes int64, err error) {
	states, err := f.machines.states(ctx, f.state.names())
	if err != nil {
		return 0, err
	}
	var names []string
	for _, name := range f.state.names() {
		if states[name] == machine.StateRunning || states[name] == machine.StatePaused {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return 0, nil
	}
	saver, err := f.savable(ctx, names)
	if err != nil {
		return 0, err
	}
	f.nodes.sync(ctx, slices.DeleteFunc(f.state.members(), func(n cluster.Node) bool { return states[n.Name] != machine.StateRunning }))
	if len(f.machines.in(ctx, names, machine.StateRunning)) > 0 {
		if _, err := f.Pause(ctx, op); err != nil {
			return 0, err
		}
	}
	if err := f.saveAll(ctx, op, saver, names); err != nil {
		return 0, errors.Join(err, f.undoSave(ctx, saver, names))
	}
	for _, name := range names {
		if err := f.machines.driver.Stop(ctx, name); err != nil {
			return 0, errors.Join(err, f.undoSave(ctx, saver, names))
		}
		if described, err := saver.Saved(name); err == nil {
			bytes += described.Bytes
		}
	}
	return bytes, nil
}

// savable returns the driver if the memory of the machines can be kept, with room for all.
func (f *Fleet) savable(ctx context.Context, names []string) (driver.Saver, error) {
	saver, ok := f.machines.driver.(driver.Saver)
	if !ok {
		return nil, fmt.Errorf("%w: the driver %s keeps no memory", errors.ErrUnsupported, f.machines.driver.Name())
	}
	var needMiB int
	for _, name := range names {
		bytes, err := saver.CanSave(ctx, name)
		if err != nil {
			return nil, err
		}
		needMiB += int(bytes >> 20)
	}
	if err := f.faultless(); err != nil {
		return nil, err
	}
	if f.Restoring() {
		return nil, errors.New("a restore of the database was interrupted")
	}
	return saver, enoughRoom(needMiB, offline.FreeMiB(string(f.dir)), string(f.dir))
}

// enoughRoom returns an error if saved memory would fill the disk.
func enoughRoom(needMiB, freeMiB int, dir string) error {
	if needMiB+lowRoomMiB <= freeMiB {
		return nil
	}
	return fmt.Errorf("it takes up to %d MiB, and of the %d MiB that are free where %s is, %d MiB must stay free", needMiB, freeMiB, dir, lowRoomMiB)
}

// saveAll saves paused machines.
func (f *Fleet) saveAll(ctx context.Context, op *operation.Operation, saver driver.Saver, names []string) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, name := range names {
		group.Go(func() error {
			op.Begin(name, daemonapi.PhaseSave, "")
			if err := saver.Save(ctx, name); err != nil {
				return err
			}
			op.End(name, daemonapi.PhaseSave, nil)
			return nil
		})
	}
	return group.Wait()
}

// undoSave discards what was saved of machines, and lets those continue that still have a
// process.
func (f *Fleet) undoSave(ctx context.Context, saver driver.Saver, names []string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoLimit)
	defer cancel()
	var errs []error
	for _, name := range names {
		errs = append(errs, saver.Discard(ctx, name))
	}
	f.wake(ctx)
	f.nodes.setClocks(ctx)
	return errors.Join(errs...)
}

// wakeSaved lets a saved machine continue, or boots it if its memory cannot be used, and
// returns a message for users.
func (e *executor) wakeSaved(ctx context.Context, n cluster.Node) (string, error) {
	m, err := e.prepare(n)
	if err != nil {
		return "", err
	}
	err = e.tryWake(ctx, n, m)
	var unusable *driver.UnusableError
	if !errors.As(err, &unusable) {
		return "", err
	}
	e.log.Warn("the saved memory of a machine was not used", "machine", n.Name, "reason", unusable.Reason)
	e.dropTemplate()
	e.op.Begin(n.Name, daemonapi.PhaseResume, unused(unusable)+"; booting")
	if err := e.start(ctx, n); err != nil {
		return "", err
	}
	return unused(unusable) + "; booted instead", e.boot(ctx, n)
}

func unused(err *driver.UnusableError) string {
	return "its saved memory was not used: " + err.Reason
}

// tryWake lets a saved machine continue and sets its clock. After an UnusableError the
// machine has no process.
func (e *executor) tryWake(ctx context.Context, n cluster.Node, m machine.Machine) error {
	if err := e.machines.wake(ctx, m); err != nil {
		return err
	}
	e.settings.doubt()
	err := e.continued(ctx, n, e.limits.Boot/bootTries)
	if err == nil {
		err = e.distinguish(ctx, n, m)
	}
	if err == nil || ctx.Err() != nil {
		return err
	}
	if err := e.machines.driver.Stop(ctx, n.Name); err != nil {
		return err
	}
	return &driver.UnusableError{Reason: fmt.Sprintf("the node did not answer: %v", err)}
}
