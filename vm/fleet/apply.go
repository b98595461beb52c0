package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/edge"
	"github.com/skiff-dev/skiff/vm/machine"
	"github.com/skiff-dev/skiff/vm/operation"
)

// Apply carries out a plan, and records what the cluster is now and how long
// that took.
func (f *Fleet) Apply(ctx context.Context, op *operation.Operation, steps []cluster.Step, draining daemonapi.Draining) error {
	if err := f.execute(ctx, op, steps, draining); err != nil {
		return err
	}
	version, err := f.api.kube.Version(ctx)
	if err != nil {
		f.log.Warn("cannot read the version of Kubernetes", "error", err)
	}
	err = f.state.change(func(state *cluster.State) {
		state.Machines = state.Retain()
		state.EndUpgrade()
		state.Adopt()
		if version != "" {
			state.Kubernetes = version
		}
	})
	return errors.Join(err, f.images.settle(f.state.current()), f.recordTimings(ctx, op))
}

// execute runs the steps of a plan, each as soon as those that it comes after
// are done.
func (f *Fleet) execute(ctx context.Context, op *operation.Operation, steps []cluster.Step, draining daemonapi.Draining) error {
	e := &executor{core: f.core, renewals: f.renewals, settings: f.settings, edge: f.edge, faults: f.faults, op: op, steps: steps, draining: draining, prepared: map[string]machine.Machine{}, trials: map[string]*cluster.Image{}, unready: map[string]bool{}}
	done := map[string]chan struct{}{}
	for _, step := range steps {
		done[step.ID()] = make(chan struct{})
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, step := range steps {
		group.Go(func() error {
			for _, id := range step.After {
				select {
				case <-done[id]:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			if err := e.do(ctx, step); err != nil {
				return err
			}
			close(done[step.ID()])
			return nil
		})
	}
	return group.Wait()
}

// executor runs the steps of one plan.
type executor struct {
	core
	renewals *renewals
	settings *hostSettings
	edge     *edge.Edge
	faults   *faults
	op       *operation.Operation
	steps    []cluster.Step
	draining daemonapi.Draining

	joining  sync.Mutex                 // held by beforeJoin
	mu       sync.Mutex                 // guards what follows
	prepared map[string]machine.Machine // what the driver runs, by node
	trials   map[string]*cluster.Image  // of nodes that get another image than the state says, if any
	unready  map[string]bool            // nodes that need not become Ready
}

// phases are what users see of each action. Several actions make up one phase,
// which the last of them ends.
var phases = map[cluster.Action]struct {
	phase   daemonapi.Phase
	ends    bool
	message string
}{
	cluster.ActionClear:     {daemonapi.PhaseClear, true, "ending faults"},
	cluster.ActionResume:    {daemonapi.PhaseResume, true, ""},
	cluster.ActionCreate:    {daemonapi.PhaseBoot, false, "creating the disk"},
	cluster.ActionStart:     {daemonapi.PhaseBoot, false, "starting the machine"},
	cluster.ActionBoot:      {daemonapi.PhaseBoot, true, "waiting for the node"},
	cluster.ActionRestore:   {daemonapi.PhaseRestore, true, "ending the interrupted restore"},
	cluster.ActionServe:     {daemonapi.PhaseControlPlane, true, "waiting for the API server"},
	cluster.ActionAdopt:     {daemonapi.PhaseAdopt, true, ""},
	cluster.ActionJoin:      {daemonapi.PhaseJoin, true, ""},
	cluster.ActionWait:      {daemonapi.PhaseReady, true, ""},
	cluster.ActionConfigure: {daemonapi.PhaseConfigure, true, "checking the settings"},
	cluster.ActionLabel:     {daemonapi.PhaseLabel, true, ""},
	cluster.ActionSimulate:  {daemonapi.PhaseSimulate, true, ""},
	cluster.ActionGrow:      {daemonapi.PhaseGrow, true, ""},
	cluster.ActionStop:      {daemonapi.PhaseStop, true, ""},
	cluster.ActionSnapshot:  {daemonapi.PhaseSnapshot, true, ""},
	cluster.ActionDrain:     {daemonapi.PhaseDrain, true, ""},
	cluster.ActionRestart:   {daemonapi.PhaseRestart, true, "shutting down"},
	cluster.ActionReplace:   {daemonapi.PhaseReplace, true, "deleting the machine"},
	cluster.ActionUncordon:  {daemonapi.PhaseUncordon, true, ""},
	cluster.ActionLeave:     {daemonapi.PhaseDelete, false, "leaving etcd"},
	cluster.ActionDelete:    {daemonapi.PhaseDelete, true, "deleting the machine"},
}

// do runs one step, between its first and its last event.
func (e *executor) do(ctx context.Context, step cluster.Step) error {
	p := phases[step.Action]
	event := daemonapi.Event{Node: step.Node, Phase: p.phase, State: daemonapi.StateRunning, Message: p.message, Step: step.ID()}
	e.op.Add(event)
	message, err := e.act(ctx, step)
	if err != nil {
		return e.fail(ctx, step.Node, p.phase, err)
	}
	if p.ends {
		event.State, event.Message = daemonapi.StateDone, message
		e.op.Add(event)
	}
	return nil
}

// act does what a step says and returns a message for users, which may be empty.
func (e *executor) act(ctx context.Context, step cluster.Step) (string, error) {
	switch step.Action {
	case cluster.ActionClear:
		return "", e.faults.force(ctx)
	case cluster.ActionRestore:
		return e.endRestore(ctx)
	case cluster.ActionServe:
		return "", e.whileRunning(ctx, step, e.state.desired()[0], e.serveAPI)
	case cluster.ActionAdopt:
		return "", e.whileRunning(ctx, step, e.state.desired()[0], e.adopt)
	case cluster.ActionConfigure:
		return "", e.configure(ctx)
	case cluster.ActionSimulate:
		return e.simulate(ctx)
	case cluster.ActionSnapshot:
		return e.snapshot(ctx)
	case cluster.ActionDrain:
		return e.drain(ctx, step.Node)
	case cluster.ActionDelete:
		return "", e.remove(ctx, step.Node)
	}
	n, ok := e.state.find(step.Node)
	if !ok && step.Action == cluster.ActionResume { // a worker that is about to be deleted
		return "", e.machines.driver.Resume(ctx, step.Node)
	}
	if !ok {
		return "", fmt.Errorf("no node %q in the cluster", step.Node)
	}
	if step.Action == cluster.ActionResume {
		var message string
		err := e.whileRunning(ctx, step, n, func(ctx context.Context, n cluster.Node) error {
			said, err := e.resume(ctx, n)
			message = cmp.Or(said, message)
			return err
		})
		return message, err
	}
	do, ok := map[cluster.Action]func(context.Context, cluster.Node) error{
		cluster.ActionCreate: e.create, cluster.ActionStart: e.start,
		cluster.ActionBoot: e.boot, cluster.ActionJoin: e.join, cluster.ActionWait: e.awaitReady,
		cluster.ActionLeave: e.leave, cluster.ActionLabel: e.label, cluster.ActionGrow: e.grow, cluster.ActionStop: e.stop,
		cluster.ActionRestart: e.restart, cluster.ActionReplace: e.replace, cluster.ActionUncordon: e.uncordon,
	}[step.Action]
	if !ok {
		return "", fmt.Errorf("unknown step %q", step.ID())
	}
	if slices.Contains([]cluster.Action{cluster.ActionJoin, cluster.ActionWait}, step.Action) {
		return "", e.whileRunning(ctx, step, n, do)
	}
	return "", do(ctx, n)
}

// whileRunning carries out a step that waits for a node, and starts the node's machine
// again if it ends meanwhile.
func (e *executor) whileRunning(ctx context.Context, step cluster.Step, n cluster.Node, do func(context.Context, cluster.Node) error) error {
	err := do(ctx, n)
	for try := 1; try < bootTries && ended(err); try++ {
		e.log.Warn("machine ended meanwhile, starting it again", "machine", n.Name, "step", step.ID(), "error", err)
		e.op.Begin(step.Node, phases[step.Action].phase, "the machine of "+n.Name+" stopped, starting it again")
		if err = e.start(ctx, n); err == nil {
			err = e.boot(ctx, n)
		}
		if err == nil {
			err = do(ctx, n)
		}
	}
	return err
}

// ended reports whether a step failed because its machine has ended.
func ended(err error) bool {
	var e endedError
	return errors.As(err, &e) && e.state == machine.StateStopped
}

func (e *executor) has(action cluster.Action, node string) bool {
	return slices.ContainsFunc(e.steps, func(s cluster.Step) bool { return s.Action == action && s.Node == node })
}

// prepare returns what the driver needs to run a node, the same for all steps.
func (e *executor) prepare(n cluster.Node) (machine.Machine, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if m, ok := e.prepared[n.Name]; ok {
		return m, nil
	}
	m, err := e.documents.machine(n, time.Now())
	if trial := e.trials[n.Name]; err == nil && trial != nil {
		img, missing := e.images.get(e.state.current(), *trial, n)
		m.Image, err = img.Image, missing
	}
	if err == nil {
		e.prepared[n.Name] = m
	}
	return m, err
}

func (e *executor) create(ctx context.Context, n cluster.Node) error {
	m, err := e.prepare(n)
	if err != nil {
		return err
	}
	// The record of an earlier machine does not apply to the new one.
	if err := e.state.change(func(state *cluster.State) { state.Renew(n) }); err != nil {
		return err
	}
	before, err := e.machines.driver.State(ctx, n.Name)
	if err == nil {
		err = e.machines.driver.Create(ctx, m)
	}
	if err == nil && before != machine.StateAbsent { // an interrupted step left a disk
		err = e.machines.driver.Grow(ctx, n.Name, n.Size.DiskMiB)
	}
	if err != nil {
		return err
	}
	return e.state.changeMachine(n.Name, func(m *cluster.Machine) { m.DiskMiB = n.Size.DiskMiB })
}

func (e *executor) start(ctx context.Context, n cluster.Node) error {
	if err := e.beforeJoin(ctx, n); err != nil {
		return err
	}
	m, err := e.prepare(n)
	if err != nil {
		return err
	}
	return e.machines.start(ctx, m)
}

// bootTries is how often a machine is started before its boot counts as failed:
// under emulation a kernel sometimes hangs before it starts PID 1.
const bootTries = 3

// boot waits until the node API answers. A machine that this plan has started, also because
// its saved memory could not be used, is started again if it does not answer, and any machine
// if it has ended: it did so after the plan was made.
func (e *executor) boot(ctx context.Context, n cluster.Node) error {
	for try := 1; ; try++ {
		err := e.poll(ctx, n, e.limits.Boot/bootTries, func(ctx context.Context) error {
			_, err := e.nodes.client(n).Status(ctx)
			return err
		})
		if err == nil {
			return e.checkFirst(ctx, n)
		}
		starts := e.has(cluster.ActionStart, n.Name) || e.has(cluster.ActionResume, n.Name) || e.has(cluster.ActionRestart, n.Name) || e.has(cluster.ActionReplace, n.Name)
		if !starts && !ended(err) || try == bootTries || ctx.Err() != nil {
			return err
		}
		e.log.Warn("machine did not boot, starting it again", "machine", n.Name, "try", try, "error", err)
		e.op.Begin(n.Name, daemonapi.PhaseBoot, "no answer, starting the machine again")
		if err := e.machines.driver.Stop(ctx, n.Name); err != nil {
			return err
		}
		if err := e.start(ctx, n); err != nil {
			return err
		}
	}
}
