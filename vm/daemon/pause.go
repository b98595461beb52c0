package daemon

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/driver"
	"github.com/skiff-dev/skiff/vm/machine"
	"github.com/skiff-dev/skiff/vm/operation"
)

func (d *daemon) postPause(w http.ResponseWriter, r *http.Request) {
	op, failure := d.begin(operation.KindPause, func(ctx context.Context, c *running, op *operation.Operation) (string, error) {
		return c.pause(ctx, op)
	})
	if failure != nil {
		writeFailure(w, http.StatusConflict, failure)
		return
	}
	d.stream(w, r, op)
}

func (d *daemon) postResume(w http.ResponseWriter, r *http.Request) {
	op, failure := d.begin(operation.KindResume, func(ctx context.Context, c *running, op *operation.Operation) (string, error) {
		return c.resume(ctx, op)
	})
	if failure != nil {
		writeFailure(w, http.StatusConflict, failure)
		return
	}
	d.stream(w, r, op)
}

// those are the machines in a state.
func (c *running) those(ctx context.Context, wanted machine.State) []string {
	states, err := c.states(ctx)
	if err != nil {
		c.log.Warn("machines not looked at", "error", err)
	}
	return slices.DeleteFunc(c.names(), func(name string) bool { return states[name] != wanted })
}

// paused says whether a machine is: then its node answers nobody, which means
// nothing, and all that is asked of it waits in its network.
func (c *running) paused(ctx context.Context) bool { return len(c.those(ctx, machine.StatePaused)) > 0 }

// awake returns a failure if the cluster is paused.
func (c *running) awake(ctx context.Context) error {
	if c.paused(ctx) {
		return daemonapi.Paused(c.spec().Name)
	}
	return nil
}

// pause freezes all machines that run, or none. Clients of the API lose their
// connections, rather than wait for an answer.
func (c *running) pause(ctx context.Context, op *operation.Operation) (string, error) {
	names := c.those(ctx, machine.StateRunning)
	switch {
	case len(names) == 0 && c.paused(ctx):
		return "it is paused already", nil
	case len(names) == 0:
		return "", &daemonapi.Failure{Cause: "no machine of the cluster runs", Hint: "start it with \"skiff up\""}
	}
	var group errgroup.Group
	for _, name := range names {
		group.Go(func() error {
			op.Begin(name, daemonapi.PhasePause, "")
			err := c.machines.Driver.Pause(ctx, name)
			if err != nil && !errors.Is(err, driver.ErrNotFound) { // that one has just ended
				op.End(name, daemonapi.PhasePause, operation.AsFailure(err, c.dir.Log()))
				return err
			}
			op.End(name, daemonapi.PhasePause, nil)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoLimit)
		defer cancel()
		c.wakeMachines(undo)
		c.setClocks(undo)
		return "", err
	}
	c.loadBalancer.SetBackends(nil)
	c.nodes.CloseIdleConnections()
	return "", nil
}

// undoLimit bounds how long machines that were paused go on again, when others
// could not be paused.
const undoLimit = 30 * time.Second

// wakeMachines lets all paused machines go on as far as it can, and leads the API
// load balancer to them again.
func (c *running) wakeMachines(ctx context.Context) {
	for _, name := range c.those(ctx, machine.StatePaused) {
		if err := c.machines.Driver.Resume(ctx, name); err != nil {
			c.log.Warn("a paused machine does not go on", "machine", name, "error", err)
		}
	}
	c.pointLoadBalancer()
}

// resume lets all paused machines go on and waits until their nodes are Ready.
// Machines that ended are not started.
func (c *running) resume(ctx context.Context, op *operation.Operation) (string, error) {
	if !c.paused(ctx) {
		return "it is not paused", nil
	}
	observed, err := c.observe(ctx)
	if err != nil {
		return "", err
	}
	steps := slices.DeleteFunc(cluster.Plan(c.spec(), observed), func(s cluster.Step) bool {
		return s.Action != cluster.ActionResume && (s.Action != cluster.ActionWait || observed.Machines[s.Node] != machine.StatePaused)
	})
	return "", (&apply{running: c, op: op, steps: steps, apiReady: make(chan struct{})}).execute(ctx)
}

// resumeAll lets the machines of the plan's steps go on, all at once.
func (a *apply) resumeAll(ctx context.Context) error {
	var group errgroup.Group
	resumed := false
	for _, step := range a.steps {
		if step.Action == cluster.ActionResume {
			resumed = true
			group.Go(func() error { return a.goOn(ctx, step.Node) })
		}
	}
	if !resumed {
		return nil
	}
	a.pointLoadBalancer()
	err := group.Wait()
	a.wake() // certificates may have run out meanwhile
	return err
}

// goOn lets a paused machine go on. Its clock stood still: it gets the host's
// time before anybody waits for what it does.
func (a *apply) goOn(ctx context.Context, name string) error {
	a.op.Begin(name, daemonapi.PhaseResume, "")
	if err := a.machines.Driver.Resume(ctx, name); err != nil {
		return a.fail(ctx, name, daemonapi.PhaseResume, err)
	}
	nodes := append(cluster.Nodes(a.spec()), a.leaving()...)
	if i := slices.IndexFunc(nodes, func(n cluster.Node) bool { return n.Name == name }); i >= 0 {
		n := nodes[i]
		if err := a.wait(ctx, n, a.limits.Boot, func(ctx context.Context) error {
			return a.node(n).SetClock(ctx, time.Now())
		}); err != nil {
			return a.fail(ctx, name, daemonapi.PhaseResume, err)
		}
	}
	a.op.End(name, daemonapi.PhaseResume, nil)
	return nil
}
