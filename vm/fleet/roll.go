package fleet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/kube"
)

// stop shuts a machine down. A guest that does not within the limit is powered off.
func (e *executor) stop(ctx context.Context, n cluster.Node) error {
	e.nodes.sync(ctx, []cluster.Node{n})
	_, _ = e.powerOff(ctx, n, e.powerOffLimit()) // a failure is logged
	if err := ctx.Err(); err != nil {
		return err
	}
	return e.machines.driver.Stop(ctx, n.Name)
}

// restart starts a machine again with its new size or node image, and waits until its node is Ready.
func (e *executor) restart(ctx context.Context, n cluster.Node) error {
	if err := e.othersServe(ctx, n); err != nil {
		return err
	}
	e.expect(ctx, n)
	if n.Role == nodeconfig.RoleControlPlane && len(e.state.controlPlanes()) > 1 {
		e.sendClientsAway(ctx, n)
	}
	if err := e.stop(ctx, n); err != nil {
		return err
	}
	if to, ok := e.state.current().UpgradeTarget(n.Name); ok {
		return e.tryImage(ctx, n, to)
	}
	return e.bringUp(ctx, n, daemonapi.PhaseRestart)
}

// replace deletes a machine and its disk, and makes a new one of the same name. A control
// plane that is still a member of etcd rejoins it in place of its old member.
func (e *executor) replace(ctx context.Context, n cluster.Node) error {
	e.expect(ctx, n)
	if err := e.remove(ctx, n.Name); err != nil {
		return err
	}
	if err := e.create(ctx, n); err != nil {
		return err
	}
	if err := e.bringUp(ctx, n, daemonapi.PhaseReplace); err != nil {
		return err
	}
	return e.label(ctx, n) // its kubelet is not allowed to set all labels
}

// expect records what is expected of a node whose machine is about to end: to be Ready again,
// unless it was not because the user has not installed a pod network.
func (e *executor) expect(ctx context.Context, n cluster.Node) {
	unready := e.state.spec().Network.Without().PodNetwork && e.ready(ctx, n.Name) != nil
	e.mu.Lock()
	defer e.mu.Unlock()
	e.unready[n.Name] = unready
}

// bringUp starts a machine and waits until its node is Ready.
func (e *executor) bringUp(ctx context.Context, n cluster.Node, phase daemonapi.Phase) error {
	if err := e.start(ctx, n); err != nil {
		return err
	}
	for _, wait := range []struct {
		message string
		until   func(context.Context, cluster.Node) error
	}{{"waiting for the node", e.boot}, {"waiting for it to join", e.join}, {"waiting for it to be Ready", e.awaitReady}} {
		e.op.Begin(n.Name, phase, wait.message)
		if err := wait.until(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// othersServe waits until all other control planes are ready, so that etcd keeps its
// majority without n.
func (e *executor) othersServe(ctx context.Context, n cluster.Node) error {
	if n.Role != nodeconfig.RoleControlPlane {
		return nil
	}
	probe := e.api.probe()
	defer probe.CloseIdleConnections()
	for _, other := range e.state.controlPlanes() {
		if other.Name == n.Name {
			continue
		}
		if err := e.poll(ctx, other, e.limits.ControlPlane, func(ctx context.Context) error { return fetch(ctx, probe, other, "/readyz") }); err != nil {
			return fmt.Errorf("etcd would lose its majority, because the control plane on %s is not ready: %w", other.Name, err)
		}
	}
	return nil
}

// sendClientsAway lets a control plane finish the requests of its clients and send the
// clients to others. If that fails, they lose their connections.
func (e *executor) sendClientsAway(ctx context.Context, n cluster.Node) {
	ctx, cancel := context.WithTimeout(ctx, drainLimit)
	defer cancel()
	if err := e.nodes.client(n).ControlPlane().Drain(ctx); err != nil {
		e.log.Warn("control plane not drained", "node", n.Name, "error", err)
	}
}

// growLimit bounds how long a disk takes to grow.
const growLimit = 10 * time.Minute

// grow enlarges a machine's disk and, if it runs, its file system.
func (e *executor) grow(ctx context.Context, n cluster.Node) error {
	if err := e.machines.driver.Grow(ctx, n.Name, n.Size.DiskMiB); err != nil {
		return err
	}
	if e.machines.running(ctx, n.Name) {
		ctx, cancel := context.WithTimeout(ctx, growLimit)
		defer cancel()
		if err := e.nodes.client(n).Grow(ctx); err != nil {
			return err
		}
	}
	return e.state.changeMachine(n.Name, func(m *cluster.Machine) { m.DiskMiB = n.Size.DiskMiB })
}

// uncordon lets a node take pods again, if Skiff has kept them off.
func (e *executor) uncordon(ctx context.Context, n cluster.Node) error {
	if m, _ := e.state.current().Machine(n.Name); !m.Cordoned {
		return nil
	}
	if err := e.api.kube.Cordon(ctx, n.Name, false); err != nil {
		return err
	}
	defer e.edge.Wake() // after the change of the state
	return e.state.changeMachine(n.Name, func(m *cluster.Machine) { m.Cordoned = false })
}

// drain keeps new pods off a node and evicts its pods. It returns a message for users. It
// does not wait for a node that is not Ready.
func (e *executor) drain(ctx context.Context, name string) (string, error) {
	// Pods that nothing would create again stay on a node that is only restarted.
	options := kube.DrainOptions{KeepUnmanaged: e.has(cluster.ActionRestart, name)}
	nodes, err := e.api.kube.Nodes(ctx)
	if err != nil {
		return "", err
	}
	node, registered := nodes[name]
	if !registered {
		return "", nil
	}
	if !node.Cordoned { // otherwise the user cordoned it
		if err := e.state.changeMachine(name, func(m *cluster.Machine) { m.Cordoned = true }); err != nil {
			return "", err
		}
	}
	if err := e.api.kube.Cordon(ctx, name, true); err != nil {
		return "", err
	}
	if node.Ready != "True" {
		return "the node is not Ready", nil
	}
	limit := e.draining.Timeout
	if limit == 0 {
		limit = e.limits.Drain
	}
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	failed := e.api.kube.Drain(bounded, name, options)
	if failed == nil || ctx.Err() != nil {
		return "", errors.Join(failed, ctx.Err())
	}
	e.log.Warn("node not drained", "node", name, "error", failed)
	pods, err := e.api.kube.Blocking(ctx, name, options)
	switch {
	case err != nil:
		return "", errors.Join(failed, err)
	case pods == "":
		return "", nil
	case e.draining.Force:
		return "continued although pods had not left in time: " + pods, nil
	}
	return "", final{&daemonapi.Failure{
		Cause: fmt.Sprintf("%s was not drained within %s: %s", name, limit, pods),
		Hint:  "run the command again when its pods can leave, or with --force to continue without them, or with --drain-timeout to wait longer",
	}}
}
