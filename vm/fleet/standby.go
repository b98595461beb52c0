package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/machine"
	"github.com/skiff-dev/skiff/vm/operation"
)

// How a cluster wakes. clockLimit bounds how long a node may take to accept the time, and
// wakeLimit how long the first control plane may take to answer; both are multiplied by
// emulatedFactor for emulated machines. Requests wait for all that.
const (
	clockLimit = 3 * time.Second
	wakeLimit  = 30 * time.Second
	wakePeriod = 10 * time.Millisecond
)

// errNotAllRunning is why a cluster does not fall asleep.
var errNotAllRunning = errors.New("not all machines are running")

// PauseAfter returns how long nobody must have used the cluster until it is paused; 0 if it
// never is.
func (f *Fleet) PauseAfter() time.Duration {
	after := f.state.spec().Pause.After()
	if after > 0 && f.limits.Idle > 0 {
		return f.limits.Idle
	}
	return after
}

// SetPauseIdle changes the setting of PauseAfter. The error is a failure that is caused by
// the user's input, or that of writing the state.
func (f *Fleet) SetPauseIdle(idle string, pauses func(driver string) error) error {
	wanted := cluster.Pause{Idle: idle}
	if faults := cluster.ValidatePause(wanted, f.state.spec().Driver, pauses); len(faults) > 0 {
		return operation.Invalid(errors.Join(faults...), "")
	}
	err := f.state.change(func(s *cluster.State) { s.Spec.Pause = wanted })
	f.standby.Notice()
	return err
}

// CanSleep returns an error if the cluster cannot be paused now.
func (f *Fleet) CanSleep(ctx context.Context) error {
	names := f.state.names()
	if len(f.machines.in(ctx, names, machine.StateRunning)) < len(names) {
		return errNotAllRunning
	}
	return f.faultless()
}

// Sleep pauses a cluster that nobody uses.
func (f *Fleet) Sleep(ctx context.Context, op *operation.Operation) error {
	// Watches end in an orderly way.
	waiting, cancel := context.WithTimeout(ctx, syncPorts)
	defer cancel()
	if err := f.edge.Sync(waiting); err != nil {
		return err
	}
	return f.pause(ctx, op, f.state.names())
}

// Wake resumes a cluster that is asleep. What waits for it continues once a control plane
// answers, before all nodes are Ready, and also if Wake fails.
func (f *Fleet) Wake(ctx context.Context, op *operation.Operation) error {
	defer func() {
		f.standby.Wake()
		f.edge.Wake()
	}()
	began := time.Now()
	var all errgroup.Group
	for _, n := range f.state.members() {
		if f.machineState(ctx, n.Name) != machine.StatePaused {
			continue
		}
		all.Go(func() error {
			op.Begin(n.Name, daemonapi.PhaseResume, "")
			if err := f.machines.driver.Resume(ctx, n.Name); err != nil {
				op.End(n.Name, daemonapi.PhaseResume, operation.AsFailure(err, f.dir.Log()))
				return fmt.Errorf("resume machine %s: %w", n.Name, err)
			}
			f.wakeClock(ctx, n)
			op.End(n.Name, daemonapi.PhaseResume, nil)
			return nil
		})
	}
	err := all.Wait()
	f.api.balance()
	resumed := time.Since(began)
	err = errors.Join(err, f.awaitAPI(ctx))
	f.renewals.wake() // certificates may have expired meanwhile
	f.log.Info("the cluster is awake", "resumed", resumed, "answers", time.Since(began), "error", err)
	return err
}

// wakeClock gives a node the host's time. A node that does not accept it is told later.
func (f *Fleet) wakeClock(ctx context.Context, n cluster.Node) {
	ctx, cancel := context.WithTimeout(ctx, f.patience(clockLimit))
	defer cancel()
	for {
		err := f.nodes.client(n).SetClock(ctx)
		if err == nil {
			return
		}
		if pause.For(ctx, wakePeriod) != nil {
			f.log.Warn("cannot set a node's clock", "node", n.Name, "error", err)
			return
		}
	}
}

// awaitAPI waits until a control plane is ready.
func (f *Fleet) awaitAPI(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, f.patience(wakeLimit))
	defer cancel()
	probe := f.api.probe()
	defer probe.CloseIdleConnections()
	for len(serving(ctx, probe, f.state.controlPlanes())) == 0 {
		if !slices.ContainsFunc(f.state.controlPlanes(), func(n cluster.Node) bool { return f.machines.running(ctx, n.Name) }) {
			return errors.New("no control plane is running")
		}
		if err := pause.For(ctx, wakePeriod); err != nil {
			return fmt.Errorf("wait for a control plane: %w", err)
		}
	}
	return nil
}

// patience returns how long a node may take that takes as long as limit with a hypervisor.
func (f *Fleet) patience(limit time.Duration) time.Duration {
	if f.emulated() {
		return limit * emulatedFactor
	}
	return limit
}
