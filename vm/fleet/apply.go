package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/skiff-dev/skiff/internal/atomicfile"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/edge"
	"github.com/skiff-dev/skiff/vm/machine"
	"github.com/skiff-dev/skiff/vm/operation"
)

// Apply carries out a plan, and records what the cluster is now and how long
// that took.
func (f *Fleet) Apply(ctx context.Context, op *operation.Operation, steps []cluster.Step) error {
	if err := f.execute(ctx, op, steps); err != nil {
		return err
	}
	version, err := f.api.kube.Version(ctx)
	if err != nil {
		f.log.Warn("cannot read the version of Kubernetes", "error", err)
	}
	err = f.state.change(func(state *cluster.State) {
		state.Nodes = cluster.Union(nil, state.Spec)
		if version != "" {
			state.Kubernetes = version
		}
	})
	timings, encode := json.MarshalIndent(op.Timings(time.Now()), "", "  ")
	if encode == nil {
		encode = atomicfile.Write(f.dir.Timings(), append(timings, '\n'), 0o600)
	}
	return errors.Join(err, encode)
}

// execute runs the steps of a plan, each as soon as those that it comes after
// are done.
func (f *Fleet) execute(ctx context.Context, op *operation.Operation, steps []cluster.Step) error {
	e := &executor{core: f.core, renewals: f.renewals, edge: f.edge, op: op, steps: steps, prepared: map[string]machine.Machine{}}
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
	edge     *edge.Edge
	op       *operation.Operation
	steps    []cluster.Step

	mu       sync.Mutex                 // guards prepared
	prepared map[string]machine.Machine // what the driver runs, by node
}

// phases are what users see of each action. Several actions make up one phase,
// which the last of them ends.
var phases = map[cluster.Action]struct {
	phase   daemonapi.Phase
	ends    bool
	message string
}{
	cluster.ActionResume:    {daemonapi.PhaseResume, true, ""},
	cluster.ActionCreate:    {daemonapi.PhaseBoot, false, "creating the disk"},
	cluster.ActionStart:     {daemonapi.PhaseBoot, false, "starting the machine"},
	cluster.ActionBoot:      {daemonapi.PhaseBoot, true, "waiting for the node"},
	cluster.ActionRestore:   {daemonapi.PhaseRestore, true, "ending the interrupted restore"},
	cluster.ActionServe:     {daemonapi.PhaseControlPlane, true, "waiting for the API server"},
	cluster.ActionJoin:      {daemonapi.PhaseJoin, true, ""},
	cluster.ActionWait:      {daemonapi.PhaseReady, true, ""},
	cluster.ActionConfigure: {daemonapi.PhaseConfigure, true, "checking the settings"},
	cluster.ActionDrain:     {daemonapi.PhaseDrain, true, ""},
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
	case cluster.ActionRestore:
		return e.endRestore(ctx)
	case cluster.ActionServe:
		return "", e.serveAPI(ctx)
	case cluster.ActionConfigure:
		return "", e.configure(ctx)
	case cluster.ActionDrain:
		return e.drain(ctx, step.Node), nil
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
	do, ok := map[cluster.Action]func(context.Context, cluster.Node) error{
		cluster.ActionResume: e.resume, cluster.ActionCreate: e.create, cluster.ActionStart: e.start,
		cluster.ActionBoot: e.boot, cluster.ActionJoin: e.join, cluster.ActionWait: e.awaitReady,
		cluster.ActionLeave: e.leave,
	}[step.Action]
	if !ok {
		return "", fmt.Errorf("unknown step %q", step.ID())
	}
	return "", do(ctx, n)
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
	return e.machines.driver.Create(ctx, m)
}

func (e *executor) start(ctx context.Context, n cluster.Node) error {
	m, err := e.prepare(n)
	if err != nil {
		return err
	}
	return e.machines.start(ctx, m)
}

// bootTries is how often a machine is started before its boot counts as failed:
// under emulation a kernel sometimes hangs before it starts PID 1.
const bootTries = 3

// boot waits until the node API answers. A machine that this plan has started is
// started again if it does not answer.
func (e *executor) boot(ctx context.Context, n cluster.Node) error {
	for try := 1; ; try++ {
		err := e.poll(ctx, n, e.limits.Boot/bootTries, func(ctx context.Context) error {
			_, err := e.nodes.client(n).Status(ctx)
			return err
		})
		if err == nil {
			return e.checkFirst(ctx, n)
		}
		if !e.has(cluster.ActionStart, n.Name) || try == bootTries || ctx.Err() != nil {
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

// serveAPI waits for the Kubernetes API and shows what it waits for.
func (e *executor) serveAPI(ctx context.Context) error {
	// Control planes may be held although the state of the restore is lost.
	if _, err := e.endRestore(ctx); err != nil {
		return err
	}
	first := cluster.Nodes(e.state.spec())[0]
	shown := phases[cluster.ActionServe].message
	if err := e.poll(ctx, first, e.limits.ControlPlane, func(ctx context.Context) error {
		err := e.api.kube.Ready(ctx)
		if message := waitsFor(err); err != nil && message != shown {
			e.op.Begin("", daemonapi.PhaseControlPlane, message)
			shown = message
		}
		return err
	}); err != nil {
		return err
	}
	// From now on every control plane joins this cluster instead of forming another.
	return e.state.change(func(state *cluster.State) { state.Formed = true })
}

// failedCheck matches a check that fails in the answer of /readyz.
var failedCheck = regexp.MustCompile(`\[-\](\S+) failed`)

// waitsFor returns what an API server that is not ready is waiting for, in one line
// for users.
func waitsFor(err error) string {
	if err == nil {
		return ""
	}
	var failed []string
	for _, match := range failedCheck.FindAllStringSubmatch(err.Error(), -1) {
		failed = append(failed, match[1])
	}
	switch {
	case len(failed) > 2:
		return fmt.Sprintf("waiting for the API server: %s and other checks", failed[0])
	case len(failed) > 0:
		return "waiting for the API server: " + strings.Join(failed, ", ")
	case errors.Is(err, context.DeadlineExceeded):
		return "waiting for the API server to answer"
	}
	return "waiting for the API server to listen"
}

// join waits until the kubelet of the node's current boot has registered: what an
// earlier boot reported does not count. A control plane among several must also
// have joined etcd and serve the API itself.
func (e *executor) join(ctx context.Context, n cluster.Node) error {
	if n.Role == nodeconfig.RoleControlPlane && len(e.state.controlPlanes()) > 1 {
		probe := e.api.probe()
		defer probe.CloseIdleConnections()
		if err := e.poll(ctx, n, e.limits.ControlPlane, func(ctx context.Context) error {
			return fetch(ctx, probe, n, "/readyz")
		}); err != nil {
			return err
		}
	}
	boot := ""
	return e.poll(ctx, n, e.limits.Join, func(ctx context.Context) error {
		if boot == "" {
			status, err := e.nodes.client(n).Status(ctx)
			if err != nil {
				return err
			}
			boot = status.BootID
		}
		nodes, err := e.api.kube.Nodes(ctx)
		if err != nil {
			return err
		}
		node, registered := nodes[n.Name]
		switch {
		case !registered:
			return errors.New("the node has not registered")
		case boot != "" && node.BootID != boot:
			return errors.New("the node has not reported since it booted")
		}
		return nil
	})
}

func (e *executor) awaitReady(ctx context.Context, n cluster.Node) error {
	return e.poll(ctx, n, e.limits.Ready, func(ctx context.Context) error { return e.ready(ctx, n.Name) })
}

// ready returns nil if Kubernetes reports the node as Ready.
func (c *core) ready(ctx context.Context, name string) error {
	nodes, err := c.api.kube.Nodes(ctx)
	if err != nil {
		return err
	}
	if node := nodes[name]; node.Ready != "True" {
		return fmt.Errorf("the node is not Ready: %s", node.Reason)
	}
	return nil
}
