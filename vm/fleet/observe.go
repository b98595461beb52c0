package fleet

import (
	"context"
	"time"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/machine"
)

// observeLimit bounds the questions to the Kubernetes API.
const observeLimit = 10 * time.Second

// Observe returns everything that a plan depends on.
func (f *Fleet) Observe(ctx context.Context) (cluster.Observed, error) {
	states, err := f.machines.states(ctx, f.state.names())
	if err != nil {
		return cluster.Observed{}, err
	}
	observed := cluster.Observed{Prepared: true, Open: true, Restoring: f.Restoring(), Components: f.state.current().Components, Machines: states, Ended: map[string]string{}, Ready: map[string]bool{}}
	running := false
	for name, state := range states {
		observed.Ended[name] = f.machines.endedReason(name)
		running = running || state == machine.StateRunning
	}
	if !running {
		return observed, nil
	}
	ctx, cancel := context.WithTimeout(ctx, observeLimit)
	defer cancel()
	// An API that does not answer is an observation, not an error.
	if f.api.kube.Ready(ctx) != nil {
		return observed, nil
	}
	nodes, err := f.api.kube.Nodes(ctx)
	if err != nil {
		return observed, nil
	}
	observed.APIReady = true
	for name, node := range nodes {
		observed.Ready[name] = node.Ready == "True"
	}
	return observed, nil
}
