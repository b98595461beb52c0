package fleet

import (
	"context"
	"fmt"

	"github.com/skiff-dev/skiff/controlplane/pki"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// outdatedMembers returns the control planes whose etcd member must start again to trust the
// authorities of the phase in its connections to other members.
func (r *authorityRotation) outdatedMembers(ctx context.Context, progress pki.Rotation) ([]cluster.Node, error) {
	planes := r.planes()
	if _, ok := progress.Replacements["etcd/ca"]; !ok || len(planes) < 2 {
		return nil, nil
	}
	return r.staleMembers(ctx, planes)
}

// staleMembers returns those of some control planes whose etcd member started with other
// authorities than the current ones.
func (c *core) staleMembers(ctx context.Context, planes []cluster.Node) ([]cluster.Node, error) {
	sum, err := c.credentials.Current().Sum("etcd/ca")
	if err != nil {
		return nil, err
	}
	var stale []cluster.Node
	for _, n := range planes {
		if err := retry(ctx, askLimit, func(ctx context.Context) (bool, error) {
			status, err := c.nodes.client(n).ControlPlane().Status(ctx)
			if err == nil && status.PeerAuthorities == "" {
				err = fmt.Errorf("etcd on %s has not started", n.Name)
			}
			if err == nil && status.PeerAuthorities != sum {
				stale = append(stale, n)
			}
			return err == nil, err
		}); err != nil {
			return nil, err
		}
	}
	return stale, nil
}

// beforeJoin restarts control planes whose etcd member would not trust one that joins: a
// single one is not restarted when etcd's authority is replaced.
func (e *executor) beforeJoin(ctx context.Context, n cluster.Node) error {
	if n.Role != nodeconfig.RoleControlPlane || !e.state.current().Formed {
		return nil
	}
	e.joining.Lock()
	defer e.joining.Unlock()
	var others []cluster.Node
	for _, other := range e.state.controlPlanes() {
		if other.Name != n.Name && e.machines.running(ctx, other.Name) {
			others = append(others, other)
		}
	}
	if len(others) != 1 {
		return nil
	}
	status, err := e.nodes.client(others[0]).ControlPlane().Status(ctx)
	if err != nil || status.PeerAuthorities == "" {
		return nil // it has not started yet, and will read the current file
	}
	sum, err := e.credentials.Current().Sum("etcd/ca")
	if err != nil || status.PeerAuthorities == sum {
		return err
	}
	e.op.Begin(others[0].Name, daemonapi.PhaseControlPlane, "restarting for etcd, whose authority was replaced")
	if err := (configuration{executor: e}).restartProgram(ctx, others[0], programControlPlane, true); err != nil {
		return err
	}
	e.op.End(others[0].Name, daemonapi.PhaseControlPlane, nil)
	return nil
}

func (r *authorityRotation) restarter() configuration {
	return configuration{executor: &executor{core: r.core, renewals: r.renewals, op: r.op}}
}

// restartMembers restarts outdated members one after another.
func (r *authorityRotation) restartMembers(ctx context.Context) error {
	stale, err := r.staleMembers(ctx, r.planes())
	if err != nil {
		return err
	}
	for _, n := range stale {
		if err := r.restarter().restartProgram(ctx, n, programControlPlane, true); err != nil {
			return fmt.Errorf("restart the control plane on %s: %w", n.Name, err)
		}
	}
	return nil
}
