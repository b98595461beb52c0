package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/skiff-dev/skiff/internal/wakeup"
	"github.com/skiff-dev/skiff/vm/chaos"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/driver"
	"github.com/skiff-dev/skiff/vm/edge"
	"github.com/skiff-dev/skiff/vm/machine"
	"github.com/skiff-dev/skiff/vm/operation"
)

const (
	// faultPeriod is how often, at least, to check which faults have to end: the host may
	// have slept, or an earlier attempt to end one may have failed.
	faultPeriod = 5 * time.Second
	// endLimit bounds how long it takes to end a fault of one node.
	endLimit = 30 * time.Second
)

// activeFaults are the faults in force. A machine that a fault has paused does not make the
// cluster a paused one.
type activeFaults struct {
	mu     sync.Mutex // guards what follows
	all    []daemonapi.Fault
	ending []daemonapi.Fault // which are not in force any more, but whose effects may last
}

func (a *activeFaults) list() []daemonapi.Fault {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.all)
}

// shown returns the faults of which users may still see something.
func (a *activeFaults) shown() []daemonapi.Fault {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Concat(a.all, a.ending)
}

func (a *activeFaults) set(all []daemonapi.Fault, ending ...daemonapi.Fault) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all, a.ending = all, ending
}

// on returns an active fault of a node that has one of the given kinds, or any kind if none
// is given.
func (a *activeFaults) on(node string, kinds ...daemonapi.FaultKind) (daemonapi.Fault, bool) {
	return chaos.On(a.list(), node, kinds...)
}

// ahead returns how far faults set a node's clock ahead of the host's.
func (a *activeFaults) ahead(node string) time.Duration {
	fault, _ := a.on(node, daemonapi.FaultClock)
	return time.Duration(fault.OffsetSeconds * float64(time.Second))
}

// faults begins and ends faults.
type faults struct {
	core
	documents *documents
	renewals  *renewals
	edge      *edge.Edge
	host      chaos.Host
	changed   wakeup.Signal

	mu sync.Mutex // held while faults begin or end
}

func newFaults(f *Fleet) *faults {
	return &faults{
		core: f.core, documents: f.documents, renewals: f.renewals, edge: f.edge, changed: wakeup.New(),
		host: chaos.Host{Shared: f.machines.network.SharesHost, NoLinks: f.machines.network.Impair == nil},
	}
}

// forget removes the record of faults left by a daemon that was killed. The faults ended
// with its machines; what they left on a node's disk is removed when the node boots.
func (f *faults) forget() error {
	left, err := chaos.Read(f.dir.Faults())
	if err != nil {
		f.log.Warn("the record of faults is damaged", "error", err)
	}
	for _, fault := range left {
		f.log.Info("a fault ended with the daemon that was killed", "fault", fault.ID, "nodes", fault.Nodes)
	}
	return chaos.Write(f.dir.Faults(), nil)
}

// BeginFault begins a fault and returns it once it is in force.
func (f *Fleet) BeginFault(ctx context.Context, request daemonapi.FaultRequest) (daemonapi.Fault, error) {
	return f.faults.begin(ctx, request)
}

// Faults returns the faults that have not ended yet.
func (f *Fleet) Faults() []daemonapi.Fault { return f.active.shown() }

// ClearFaults ends the faults with the given IDs, or all if none is given, and returns those
// that have ended.
func (f *Fleet) ClearFaults(ctx context.Context, ids []string) ([]daemonapi.Fault, error) {
	return f.faults.clear(ctx, ids)
}

func (f *faults) begin(ctx context.Context, request daemonapi.FaultRequest) (daemonapi.Fault, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.awake(ctx); err != nil {
		return daemonapi.Fault{}, err
	}
	active := f.active.list()
	fault, err := chaos.New(request, f.state.desired(), active, f.host, time.Now())
	if err != nil {
		return fault, operation.Invalid(err, "")
	}
	for _, name := range fault.Nodes {
		if state, err := f.machines.driver.State(ctx, name); err != nil || state != machine.StateRunning {
			if other, ok := f.active.on(name, daemonapi.FaultKill, daemonapi.FaultPause); ok {
				return fault, operation.Invalid(fmt.Errorf("%s is %s by the fault %s: end it first with `skiff chaos clear %s`", name, other.Effect(), other.ID, other.ID), "")
			}
			return fault, errors.Join(&daemonapi.Failure{Cause: fmt.Sprintf("the machine of %s is %s", name, state), Hint: "run \"skiff up\" to start it"}, err)
		}
	}
	// The record comes first, so that the fault is known even if the daemon is killed now.
	if err := f.keep(append(active, fault)); err != nil {
		return fault, err
	}
	if err := f.inflict(ctx, fault); err != nil {
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), endLimit)
		defer cancel()
		return fault, errors.Join(fmt.Errorf("begin the fault %s: %w", fault.ID, err), f.keep(active), f.lift(undo, fault))
	}
	f.log.Info("a fault begins", "fault", fault.ID, "nodes", fault.Nodes, "until", fault.Until)
	f.changed.Send()
	return fault, nil
}

// keep records the active faults.
func (f *faults) keep(all []daemonapi.Fault) error {
	if err := chaos.Write(f.dir.Faults(), all); err != nil {
		return err
	}
	f.active.set(all)
	return nil
}

// inflict puts a fault in force, which is already among the active ones.
func (f *faults) inflict(ctx context.Context, fault daemonapi.Fault) error {
	do := map[daemonapi.FaultKind]func(context.Context, cluster.Node) error{
		daemonapi.FaultKill: func(ctx context.Context, n cluster.Node) error {
			err := f.machines.driver.Stop(ctx, n.Name)
			f.edge.Wake()
			return err
		},
		daemonapi.FaultPause: func(ctx context.Context, n cluster.Node) error {
			return f.machines.driver.Pause(ctx, n.Name)
		},
		daemonapi.FaultClock: func(ctx context.Context, n cluster.Node) error {
			return f.nodes.client(n).SetClockWrong(ctx, f.active.ahead(n.Name))
		},
		daemonapi.FaultDiskFull: func(ctx context.Context, n cluster.Node) error {
			return f.nodes.client(n).FillDisk(ctx, time.Until(fault.Until))
		},
	}[fault.Kind]
	if do == nil {
		return f.impair()
	}
	return f.each(ctx, fault, do)
}

// lift ends a fault that was removed from the active ones. It may be repeated.
func (f *faults) lift(ctx context.Context, fault daemonapi.Fault) error {
	do := map[daemonapi.FaultKind]func(context.Context, cluster.Node) error{
		daemonapi.FaultKill: f.startAgain, daemonapi.FaultPause: f.resume,
		daemonapi.FaultClock: func(ctx context.Context, n cluster.Node) error {
			return f.nodes.client(n).SetClock(ctx)
		},
		daemonapi.FaultDiskFull: func(ctx context.Context, n cluster.Node) error {
			return f.nodes.client(n).FreeDisk(ctx)
		},
	}[fault.Kind]
	if do == nil {
		return f.impair()
	}
	return f.each(ctx, fault, func(ctx context.Context, n cluster.Node) error {
		// A clock and a disk are right again when a machine boots.
		if fault.Kind != daemonapi.FaultKill && fault.Kind != daemonapi.FaultPause && !f.machines.running(ctx, n.Name) {
			return nil
		}
		return do(ctx, n)
	})
}

// each calls do for all nodes of a fault at once.
func (f *faults) each(ctx context.Context, fault daemonapi.Fault, do func(context.Context, cluster.Node) error) error {
	var all errgroup.Group
	for _, name := range fault.Nodes {
		if n, ok := f.state.find(name); ok {
			all.Go(func() error { return do(ctx, n) })
		}
	}
	return all.Wait()
}

// impair updates all links to the active faults.
func (f *faults) impair() error {
	return f.machines.network.Impair(chaos.Links(f.state.desired(), f.active.list()))
}

// startAgain starts a machine that a fault killed. It does not wait for the node.
func (f *faults) startAgain(ctx context.Context, n cluster.Node) error {
	state, err := f.machines.driver.State(ctx, n.Name)
	if err != nil || state != machine.StateStopped {
		return err
	}
	m, err := f.documents.machine(n, time.Now())
	if err != nil {
		return err
	}
	defer f.edge.Wake()
	return f.machines.start(ctx, m)
}

// resume lets a machine that a fault paused continue, and sets its clock.
func (f *faults) resume(ctx context.Context, n cluster.Node) error {
	err := f.machines.driver.Resume(ctx, n.Name)
	if errors.Is(err, driver.ErrNotFound) {
		return nil // its process has ended
	}
	if err != nil {
		return err
	}
	defer f.edge.Wake()
	defer f.renewals.wake() // certificates may have expired during the pause
	if err := f.poll(ctx, n, endLimit, func(ctx context.Context) error {
		return f.nodes.client(n).SetClock(ctx)
	}); err != nil {
		f.log.Warn("cannot set the clock of a node that was paused; it is tried again", "node", n.Name, "error", err)
	}
	return nil
}

func (f *faults) clear(ctx context.Context, ids []string) ([]daemonapi.Fault, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	chosen, err := chaos.Select(f.active.list(), ids)
	if err != nil {
		return nil, operation.Invalid(err, "")
	}
	return f.end(ctx, chosen)
}

// end ends faults and returns those that have ended. A fault that cannot be ended stays
// active, with the problem. The caller holds f.mu.
func (f *faults) end(ctx context.Context, chosen []daemonapi.Fault) ([]daemonapi.Fault, error) {
	var ended []daemonapi.Fault
	var failed []error
	for _, fault := range chosen {
		active := f.active.list()
		without := slices.DeleteFunc(slices.Clone(active), func(other daemonapi.Fault) bool { return other.ID == fault.ID })
		f.active.set(without, fault) // links and clocks follow from the active faults
		limited, cancel := context.WithTimeout(ctx, endLimit)
		err := f.lift(limited, fault)
		cancel()
		if err != nil {
			f.log.Warn("a fault cannot be ended; it is tried again", "fault", fault.ID, "error", err)
			failed = append(failed, fmt.Errorf("end the fault %s: %w", fault.ID, err))
			fault.Problem = strings.ReplaceAll(err.Error(), "\n", "; ")
			f.active.set(append(without, fault))
			continue
		}
		f.active.set(without)
		f.log.Info("a fault has ended", "fault", fault.ID, "nodes", fault.Nodes)
		ended = append(ended, fault)
	}
	failed = append(failed, f.keep(f.active.list()))
	f.api.balance()
	return ended, errors.Join(failed...)
}

// abandon ends all faults of a cluster that is about to stop. Killed machines stay off.
func (f *faults) abandon(ctx context.Context) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.active.list()
	f.active.set(nil)
	for _, fault := range all {
		if fault.Kind == daemonapi.FaultKill {
			continue
		}
		if err := f.lift(ctx, fault); err != nil {
			f.log.Warn("a fault cannot be ended before the machines shut down", "fault", fault.ID, "error", err)
		}
	}
	if err := f.keep(nil); err != nil {
		f.log.Warn("cannot remove the record of faults", "error", err)
	}
}

// force ends all faults. If one cannot be ended otherwise, it restarts the machines, which
// ends every fault of their disks and clocks.
func (f *faults) force(ctx context.Context) error {
	_, err := f.clear(ctx, nil)
	if err == nil || ctx.Err() != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, fault := range f.active.list() {
		f.log.Warn("starting machines again to end a fault", "fault", fault.ID, "nodes", fault.Nodes)
		if err := f.each(ctx, fault, func(ctx context.Context, n cluster.Node) error {
			if err := f.machines.driver.Stop(ctx, n.Name); err != nil {
				return err
			}
			return f.startAgain(ctx, n)
		}); err != nil {
			return err
		}
	}
	return f.keep(nil)
}

// run ends faults when their time is over.
func (f *faults) run(ctx context.Context) error {
	for {
		f.mu.Lock()
		over, next := chaos.Due(f.active.list(), time.Now())
		if len(over) > 0 {
			_, _ = f.end(ctx, over) // what failed is logged and shown, and is tried again
		}
		f.mu.Unlock()
		wait := faultPeriod
		if len(f.active.list()) == 0 {
			wait = time.Hour
		} else if !next.IsZero() {
			wait = min(wait, max(time.Until(next), 0))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-f.changed:
		case <-time.After(wait):
		}
	}
}

// faulty returns a failure if a fault of one of the given kinds, or of any kind if none is
// given, is active on a node.
func (c *core) faulty(node string, kinds ...daemonapi.FaultKind) error {
	fault, ok := c.active.on(node, kinds...)
	if !ok {
		return nil
	}
	return &daemonapi.Failure{
		Cause: fmt.Sprintf("the fault %s is active on %s (%s)", fault.ID, node, fault.Effect()),
		Hint:  fmt.Sprintf("wait until it ends, or run `skiff chaos clear %s`", fault.ID),
	}
}

// faultless returns a failure if any fault is active.
func (c *core) faultless() error {
	all := c.active.list()
	if len(all) == 0 {
		return nil
	}
	return c.faulty(all[0].Nodes[0])
}

// Silent returns a failure if a fault keeps a node from answering the host.
func (f *Fleet) Silent(node string) error {
	return f.faulty(node, daemonapi.FaultKill, daemonapi.FaultPause)
}
