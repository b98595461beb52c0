package fleet

import (
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/driver"
	"github.com/skiff-dev/skiff/vm/machine"
	"github.com/skiff-dev/skiff/vm/operation"
)

// undoLimit bounds how long it takes to resume machines after others could not
// be paused.
const undoLimit = 30 * time.Second

// awake returns a failure if the cluster is paused.
func (c *core) awake(ctx context.Context) error {
	if c.paused(ctx) {
		return daemonapi.Paused(c.state.spec().Name)
	}
	return nil
}

// undisturbed returns a failure if the cluster is paused or a fault is active.
func (c *core) undisturbed(ctx context.Context) error {
	if err := c.awake(ctx); err != nil {
		return err
	}
	return c.faultless()
}

// Pause freezes all running machines, or none, and returns a message for users.
// Clients of the API lose their connections rather than wait for an answer.
func (f *Fleet) Pause(ctx context.Context, op *operation.Operation) (string, error) {
	names := f.machines.in(ctx, f.state.names(), machine.StateRunning)
	switch {
	case len(names) == 0 && f.Paused(ctx):
		if f.standby.Asleep() {
			f.standby.Wake() // the machines stay paused until the user resumes them
			return "already paused, and no longer wakes on use", nil
		}
		return "already paused", nil
	case len(names) == 0:
		return "", &daemonapi.Failure{Cause: "no machine of the cluster is running", Hint: "start it with \"skiff up\""}
	}
	if err := f.faultless(); err != nil {
		return "", err
	}
	return "", f.pause(ctx, op, names)
}

// pause freezes the named machines, or none.
func (f *Fleet) pause(ctx context.Context, op *operation.Operation, names []string) error {
	var group errgroup.Group
	for _, name := range names {
		group.Go(func() error {
			op.Begin(name, daemonapi.PhasePause, "")
			err := f.machines.driver.Pause(ctx, name)
			if err != nil && !errors.Is(err, driver.ErrNotFound) { // that one has just ended
				op.End(name, daemonapi.PhasePause, operation.AsFailure(err, f.dir.Log()))
				return err
			}
			op.End(name, daemonapi.PhasePause, nil)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoLimit)
		defer cancel()
		f.wake(undo)
		f.nodes.setClocks(undo)
		return err
	}
	f.api.balancer.SetBackends(nil)
	f.nodes.pool.CloseIdleConnections()
	f.edge.Wake()
	return nil
}

// wake resumes all paused machines as far as it can.
func (c *core) wake(ctx context.Context) {
	for _, name := range c.machines.paused(ctx, c.state.names()) {
		if err := c.machines.driver.Resume(ctx, name); err != nil {
			c.log.Warn("cannot resume a paused machine", "machine", name, "error", err)
		}
	}
	c.api.balance()
	c.standby.Wake()
}

// Resume resumes all paused machines and waits until their nodes are Ready. It
// returns a message for users.
func (f *Fleet) Resume(ctx context.Context, op *operation.Operation) (string, error) {
	if !f.Paused(ctx) {
		return "not paused", nil
	}
	observed, err := f.Observe(ctx)
	if err != nil {
		return "", err
	}
	return "", f.execute(ctx, op, cluster.ResumePlan(f.state.spec(), observed), daemonapi.Draining{})
}

// resume resumes one machine, whose memory may be on disk, and returns a message for
// users.
func (e *executor) resume(ctx context.Context, n cluster.Node) (string, error) {
	state, err := e.machines.driver.State(ctx, n.Name)
	if err != nil {
		return "", err
	}
	if state == machine.StateSaved {
		return e.wakeSaved(ctx, n)
	}
	if err := e.machines.driver.Resume(ctx, n.Name); err != nil {
		return "", err
	}
	return "", e.continued(ctx, n, e.limits.Boot)
}

// continued follows when a machine continues. Its clock stood still, so it is given the
// host's time before anybody waits for what the node does.
func (e *executor) continued(ctx context.Context, n cluster.Node, limit time.Duration) error {
	e.api.balance()
	defer e.edge.Wake()
	defer e.renewals.wake() // certificates may have expired meanwhile
	return e.poll(ctx, n, limit, func(ctx context.Context) error {
		return e.nodes.client(n).SetClock(ctx)
	})
}

// paused reports whether any machine is paused.
func (c *core) paused(ctx context.Context) bool {
	return len(c.machines.paused(ctx, c.state.names())) > 0
}

// frozen reports whether the user has paused the cluster. A machine that stopped
// because of the host's disk must not keep the others from their routine.
func (c *core) frozen(ctx context.Context) bool {
	return slices.ContainsFunc(c.machines.paused(ctx, c.state.names()), func(name string) bool { return c.machines.stalled(name) == "" })
}

// work begins something that the daemon asks of the nodes by itself. ok is false while the
// cluster is paused; otherwise it does not fall asleep until end is called.
func (c *core) work(ctx context.Context) (end func(), ok bool) {
	end, ok = c.standby.Work()
	if ok && c.frozen(ctx) {
		end()
		return nil, false
	}
	return end, ok
}
