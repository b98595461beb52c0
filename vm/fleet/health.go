package fleet

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/kube"
	"github.com/skiff-dev/skiff/vm/machine"
	"github.com/skiff-dev/skiff/vm/repair"
)

// healthLimit bounds how long a healthy node takes to answer: an emulated one on a busy
// host may need seconds.
const healthLimit = 10 * time.Second

// Health observes all nodes for a repair. It returns nothing if the cluster is paused.
func (f *Fleet) Health(ctx context.Context) []repair.Node {
	end, ok := f.standby.Work()
	if !ok {
		return nil
	}
	defer end()
	if f.paused(ctx) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, healthLimit)
	defer cancel()
	probe := f.api.probe()
	defer probe.CloseIdleConnections()
	nodes := f.state.desired()
	all := make([]repair.Node, len(nodes))
	var registered map[string]kube.Node
	var failed error
	var asked sync.WaitGroup
	asked.Go(func() { registered, failed = f.api.kube.Nodes(ctx) })
	for i, n := range nodes {
		asked.Go(func() {
			all[i] = f.machineHealth(ctx, n)
			if all[i].ControlPlane && all[i].Answers {
				if err := fetch(ctx, probe, n, "/readyz"); err != nil {
					all[i].Known, all[i].Ready, all[i].Problem = true, false, "its API server is not ready"
				}
			}
		})
	}
	asked.Wait()
	for i := range all {
		f.addReadiness(&all[i], registered, failed)
	}
	if f.paused(ctx) { // meanwhile
		return nil
	}
	return all
}

// machineHealth observes what the host knows of a node.
func (c *core) machineHealth(ctx context.Context, n cluster.Node) repair.Node {
	seen := repair.Node{Name: n.Name, ControlPlane: n.Role == nodeconfig.RoleControlPlane}
	seen.Held = c.held(n.Name)
	state, err := c.machines.driver.State(ctx, n.Name)
	if err != nil || c.machines.stalled(n.Name) != "" {
		seen.Held = true // the host's disk is the problem
		return seen
	}
	seen.Machine = state
	if state != machine.StateRunning {
		seen.Problem = "its machine has been off"
		return seen
	}
	_, err = c.nodes.client(n).Status(ctx)
	seen.Answers = err == nil
	if err != nil {
		seen.Problem = "it has not answered this host"
	}
	return seen
}

// held reports whether a fault may be why a node is not healthy: one of its own, or one of a
// control plane, which may keep the others from reporting that they are Ready.
func (c *core) held(node string) bool {
	return slices.ContainsFunc(c.active.list(), func(fault daemonapi.Fault) bool {
		return slices.ContainsFunc(fault.Nodes, func(name string) bool {
			n, ok := c.state.find(name)
			return name == node || ok && n.Role == nodeconfig.RoleControlPlane
		})
	})
}

// addReadiness adds what Kubernetes says about a node, unless its problem is known.
func (c *core) addReadiness(seen *repair.Node, registered map[string]kube.Node, failed error) {
	if failed != nil || seen.Problem != "" {
		return
	}
	node, ok := registered[seen.Name]
	seen.Known, seen.Ready = true, ok && node.Ready == "True"
	switch {
	case !ok:
		seen.Problem = "it has not been registered"
	case !seen.Ready:
		seen.Problem = fmt.Sprintf("it has not been Ready (%s)", node.Cause)
	}
}

// LocalClaims returns the claims of volumes on a node's disk.
func (f *Fleet) LocalClaims(ctx context.Context, node string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, healthLimit)
	defer cancel()
	return f.api.kube.LocalClaims(ctx, node)
}

// RepairAfter returns how long a node must be unhealthy until it is repaired; 0 if nodes
// are not repaired.
func (f *Fleet) RepairAfter() time.Duration {
	after := cluster.RepairAfter(f.state.spec(), f.emulated())
	if after > 0 && f.limits.Repair > 0 {
		return f.limits.Repair
	}
	return after
}
