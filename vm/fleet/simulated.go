package fleet

import (
	"context"
	"errors"
	"fmt"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/kube"
)

// simulate makes the simulated nodes those of the desired number, and waits until they are
// Ready.
func (e *executor) simulate(ctx context.Context) (string, error) {
	wanted := e.state.current().Spec.Simulated
	// The record comes first, so that no node is forgotten after a crash.
	if err := e.state.change(func(state *cluster.State) { state.Simulated = max(state.Simulated, wanted) }); err != nil {
		return "", err
	}
	if err := e.api.kube.Simulate(ctx, cluster.SimulatedNames(wanted), cluster.IsSimulated); err != nil {
		return "", err
	}
	first := e.state.desired()[0]
	if err := e.poll(ctx, first, e.limits.Ready, func(ctx context.Context) error {
		nodes, err := e.api.kube.Nodes(ctx)
		if err != nil {
			return err
		}
		if now := countSimulated(nodes); now != nil && (now.Ready < now.Nodes || now.Nodes != wanted) {
			return errors.New(now.String())
		}
		return nil
	}); err != nil {
		return "", fmt.Errorf("wait for the simulated nodes: %w", err)
	}
	return fmt.Sprintf("%d simulated nodes", wanted), e.state.change(func(state *cluster.State) { state.Simulated = wanted })
}

// countSimulated counts the simulated nodes among those that are registered; it returns nil
// if there are none.
func countSimulated(registered map[string]kube.Node) *daemonapi.Simulated {
	var count daemonapi.Simulated
	for name, node := range registered {
		if !cluster.IsSimulated(name, node.Labels) {
			continue
		}
		count.Nodes++
		if node.Ready == "True" {
			count.Ready++
		}
	}
	if count.Nodes == 0 {
		return nil
	}
	return &count
}
