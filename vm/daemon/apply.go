package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/skiff-dev/skiff/internal/atomicfile"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/machine"
	"github.com/skiff-dev/skiff/vm/operation"
)

// run does an apply from its first event to its last.
func (d *daemon) run(ctx context.Context, op *operation.Operation, spec cluster.Spec) {
	op.Begin("", daemonapi.PhaseCluster, "")
	message, err := d.apply(ctx, op, spec)
	if err == nil {
		op.Finish(message, nil)
		d.log.Info("cluster is as wanted", "message", message)
		return
	}
	if cause := context.Cause(ctx); cause != nil {
		err = fmt.Errorf("interrupted: %w", cause)
	}
	d.log.Error("cluster is not as wanted", "error", err)
	op.Finish("", operation.AsFailure(err, d.dir.Log()))
}

func (d *daemon) apply(ctx context.Context, op *operation.Operation, spec cluster.Spec) (string, error) {
	c, fresh, err := d.openCluster(ctx, op, spec)
	if err != nil {
		return "", err
	}
	observed, err := c.observe(ctx)
	if err != nil {
		return "", err
	}
	steps := cluster.Plan(c.spec(), observed)
	if len(steps) == 0 && !fresh {
		return "nothing to do", nil
	}
	a := &apply{running: c, op: op, steps: steps, apiReady: make(chan struct{})}
	if err := a.execute(ctx); err != nil {
		return "", err
	}
	return "", d.conclude(ctx, c, op)
}

// openCluster opens the cluster, or gives the open one its new spec.
func (d *daemon) openCluster(ctx context.Context, op *operation.Operation, spec cluster.Spec) (c *running, fresh bool, err error) {
	d.mu.Lock()
	c = d.cluster
	d.mu.Unlock()
	if c != nil {
		err := c.change(func(state *cluster.State) {
			spec.APIPort = state.Spec.APIPort
			state.Spec, state.Nodes = spec, union(state.Nodes, spec)
		})
		c.pointLoadBalancer()
		c.wake()
		return c, false, err
	}
	op.Begin("", daemonapi.PhasePrepare, "certificates, network, acceleration")
	c, err = open(ctx, d.config, d.dir, spec)
	if err != nil {
		failure := operation.AsFailure(err, d.dir.Log())
		op.End("", daemonapi.PhasePrepare, failure)
		return nil, false, failure
	}
	d.mu.Lock()
	d.cluster = c
	d.mu.Unlock()
	d.log.Info("cluster open", "driver", c.machines.Driver.Name(), "runs", c.machines.Driver.Describe())
	op.Add(daemonapi.Event{Phase: daemonapi.PhasePrepare, State: daemonapi.StateDone, Message: c.machines.Driver.Describe()})
	return c, true, nil
}

// conclude writes down what the cluster now is and what it took.
func (d *daemon) conclude(ctx context.Context, c *running, op *operation.Operation) error {
	version, err := c.kube.Version(ctx)
	if err != nil {
		version = ""
	}
	err = c.change(func(state *cluster.State) {
		state.Nodes = union(nil, state.Spec)
		if version != "" {
			state.Kubernetes = version
		}
	})
	content, encode := json.MarshalIndent(op.Timings(time.Now()), "", "  ")
	if encode == nil {
		encode = atomicfile.Write(d.dir.Timings(), append(content, '\n'), 0o600)
	}
	return errors.Join(err, encode)
}

// apply carries out one plan.
type apply struct {
	*running
	op    *operation.Operation
	steps []cluster.Step
	// apiReady is closed when the Kubernetes API answers and nodes may join.
	apiReady chan struct{}
	// begun waits for the start, booted for the boot, of all control planes.
	begun, booted sync.WaitGroup
}

func (a *apply) needs(node string, action cluster.Action) bool {
	return slices.ContainsFunc(a.steps, func(s cluster.Step) bool { return s.Node == node && s.Action == action })
}

// execute does all steps; nodes come up side by side, workers after the
// machines of the control planes have begun.
func (a *apply) execute(ctx context.Context) error {
	if err := a.resumeAll(ctx); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	nodes := cluster.Nodes(a.spec())
	for _, n := range nodes {
		if n.Role == nodeconfig.RoleControlPlane {
			a.begun.Add(1)
			a.booted.Add(1)
		}
	}
	for _, n := range nodes {
		group.Go(func() error { return a.bringUp(ctx, n) })
	}
	for _, n := range a.leaving() {
		group.Go(func() error { return a.bootLeaving(ctx, n) })
	}
	group.Go(func() error { return a.bringUpAPI(ctx) })
	for _, step := range a.steps {
		if step.Action == cluster.ActionDelete && !cluster.IsControlPlane(step.Node) {
			group.Go(func() error { return a.remove(ctx, step.Node) })
		}
	}
	group.Go(func() error { return a.removeControlPlanes(ctx) })
	return group.Wait()
}

// bringUp creates, starts and waits for one node, as far as it needs that.
func (a *apply) bringUp(ctx context.Context, n cluster.Node) error {
	begun, booted := sync.OnceFunc(a.begun.Done), sync.OnceFunc(a.booted.Done)
	if n.Role == nodeconfig.RoleWorker {
		begun, booted = func() {}, func() {}
		if err := await(ctx, &a.begun); err != nil {
			return err
		}
	}
	defer booted()
	defer begun()
	if !a.needs(n.Name, cluster.ActionStart) && !a.needs(n.Name, cluster.ActionWait) {
		return nil
	}
	boot, err := a.boot(ctx, n, begun)
	if err != nil {
		return a.fail(ctx, n.Name, daemonapi.PhaseBoot, err)
	}
	booted()
	select {
	case <-a.apiReady:
	case <-ctx.Done():
		return ctx.Err()
	}
	a.op.Begin(n.Name, daemonapi.PhaseJoin, "")
	if err := a.joinControlPlane(ctx, n); err != nil {
		return a.fail(ctx, n.Name, daemonapi.PhaseJoin, err)
	}
	if err := a.wait(ctx, n, a.limits.Join, func(ctx context.Context) error { return a.joined(ctx, n.Name, boot) }); err != nil {
		return a.fail(ctx, n.Name, daemonapi.PhaseJoin, err)
	}
	a.op.End(n.Name, daemonapi.PhaseJoin, nil)
	a.op.Begin(n.Name, daemonapi.PhaseReady, "")
	if err := a.wait(ctx, n, a.limits.Ready, func(ctx context.Context) error { return a.ready(ctx, n.Name) }); err != nil {
		return a.fail(ctx, n.Name, daemonapi.PhaseReady, err)
	}
	a.op.End(n.Name, daemonapi.PhaseReady, nil)
	return nil
}

// boot makes the node's API answer and returns the kernel's boot id. Of a machine
// that has just gone on nothing is said: it does not boot.
func (a *apply) boot(ctx context.Context, n cluster.Node, begun func()) (string, error) {
	resumed := a.needs(n.Name, cluster.ActionResume)
	if !resumed {
		a.op.Begin(n.Name, daemonapi.PhaseBoot, "")
	}
	m, err := a.machine(n, time.Now())
	if err != nil {
		return "", err
	}
	if a.needs(n.Name, cluster.ActionCreate) {
		if err := a.machines.Driver.Create(ctx, m); err != nil {
			return "", err
		}
	}
	start := a.needs(n.Name, cluster.ActionStart)
	for try := 1; ; try++ {
		if start {
			if err := a.start(ctx, m); err != nil {
				return "", err
			}
		}
		begun()
		id, err := a.answer(ctx, n)
		if err == nil {
			if !resumed {
				a.op.End(n.Name, daemonapi.PhaseBoot, nil)
			}
			return id, nil
		}
		if !start || try == bootTries || ctx.Err() != nil {
			return "", err
		}
		a.log.Warn("machine did not boot, starting it again", "machine", n.Name, "try", try, "error", err)
		a.op.Begin(n.Name, daemonapi.PhaseBoot, "no answer, starting the machine again")
		if err := a.machines.Driver.Stop(ctx, n.Name); err != nil {
			return "", err
		}
	}
}

// bootTries is how often a machine is started before its boot has failed: under
// emulation a kernel now and then hangs before it starts PID 1.
const bootTries = 3

// answer waits for the node's API and returns the kernel's boot id.
func (a *apply) answer(ctx context.Context, n cluster.Node) (id string, err error) {
	err = a.wait(ctx, n, a.limits.Boot/bootTries, func(ctx context.Context) error {
		status, err := a.node(n).Status(ctx)
		id = status.BootID
		return err
	})
	return id, err
}

// bringUpAPI waits for the Kubernetes API and lets nodes join.
func (a *apply) bringUpAPI(ctx context.Context) error {
	if err := await(ctx, &a.booted); err != nil {
		return err
	}
	phase := daemonapi.PhaseControlPlane
	a.op.Begin("", phase, "")
	first := cluster.Nodes(a.spec())[0]
	if err := a.wait(ctx, first, a.limits.ControlPlane, a.kube.Ready); err != nil {
		return a.fail(ctx, first.Name, phase, err)
	}
	if err := a.wait(ctx, first, time.Minute, func(ctx context.Context) error {
		return a.kube.AllowJoin(ctx, a.tokenID, a.tokenSecret, time.Now().Add(tokenLifetime))
	}); err != nil {
		return a.fail(ctx, first.Name, phase, err)
	}
	// From now on there is a cluster to join.
	if err := a.change(func(state *cluster.State) { state.Formed = true }); err != nil {
		return a.fail(ctx, first.Name, phase, err)
	}
	a.op.End("", phase, nil)
	close(a.apiReady)
	return nil
}

// remove moves the pods of a node away, deletes its machine and forgets it.
func (a *apply) remove(ctx context.Context, name string) error {
	select {
	case <-a.apiReady:
	case <-ctx.Done():
		return ctx.Err()
	}
	a.op.Begin(name, daemonapi.PhaseDrain, "")
	drain, cancel := context.WithTimeout(ctx, a.limits.Drain)
	defer cancel()
	// Pods that do not go lose their node all the same: that was asked for.
	if err := a.kube.Drain(drain, name); err != nil {
		a.log.Warn("node not drained", "node", name, "error", err)
		a.op.Add(daemonapi.Event{Node: name, Phase: daemonapi.PhaseDrain, State: daemonapi.StateDone, Message: "not all pods left in time"})
	} else {
		a.op.End(name, daemonapi.PhaseDrain, nil)
	}
	a.op.Begin(name, daemonapi.PhaseDelete, "")
	if err := a.leave(ctx, name); err != nil {
		return a.fail(ctx, name, daemonapi.PhaseDelete, err)
	}
	if err := a.machines.Driver.Delete(ctx, name); err != nil {
		return a.fail(ctx, name, daemonapi.PhaseDelete, err)
	}
	if err := a.kube.Forget(ctx, name); err != nil {
		return a.fail(ctx, name, daemonapi.PhaseDelete, err)
	}
	a.op.End(name, daemonapi.PhaseDelete, nil)
	return nil
}

// joined says whether the kubelet of this very boot has registered: what it
// reported before a crash does not count.
func (a *apply) joined(ctx context.Context, name, boot string) error {
	nodes, err := a.kube.Nodes(ctx)
	if err != nil {
		return err
	}
	node, registered := nodes[name]
	switch {
	case !registered:
		return errors.New("the node has not registered")
	case boot != "" && node.BootID != boot:
		return errors.New("the node has not reported since it booted")
	}
	return nil
}

func (a *apply) ready(ctx context.Context, name string) error {
	nodes, err := a.kube.Nodes(ctx)
	if err != nil {
		return err
	}
	if node := nodes[name]; node.Ready != "True" {
		return fmt.Errorf("the node is not Ready: %s", node.Reason)
	}
	return nil
}

// Polling: how often, and how long one attempt may take.
const (
	pollPeriod  = 100 * time.Millisecond
	pollAttempt = 5 * time.Second
)

// wait tries until it succeeds. It gives up at limit, with the last error, and
// at once when the node's machine has ended.
func (a *apply) wait(ctx context.Context, n cluster.Node, limit time.Duration, try func(context.Context) error) error {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	for {
		attempt, cancel := context.WithTimeout(ctx, pollAttempt)
		last := try(attempt)
		cancel()
		if last == nil {
			return nil
		}
		if state, err := a.machines.Driver.State(ctx, n.Name); err == nil && state != machine.StateRunning {
			return fmt.Errorf("its machine stopped by itself: %s", a.endedReason(n.Name))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline.C:
			return fmt.Errorf("not within %s: %w", limit, last)
		case <-time.After(pollPeriod):
		}
	}
}

// await waits for a group or the end of ctx.
func await(ctx context.Context, group *sync.WaitGroup) error {
	done := make(chan struct{})
	go func() {
		group.Wait()
		close(done)
	}()
	select {
	case <-done:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}
