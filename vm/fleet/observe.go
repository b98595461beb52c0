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
	state := f.state.current()
	states, err := f.machines.states(ctx, state.Names())
	if err != nil {
		return cluster.Observed{}, err
	}
	observed := cluster.Observed{
		Prepared: true, Open: true, Restoring: f.Restoring(), Components: state.Components, Kubelets: state.Kubelets, Changing: state.Trial != nil, Upgrade: state.Upgrade,
		Adopting: state.Adopting(), Simulated: state.Simulated,
		Machines: states, Known: state.Machines, Sizes: f.machines.startedSizes(states), Ended: map[string]string{}, Ready: map[string]bool{}, Marks: map[string]cluster.Marks{},
	}
	for _, fault := range f.active.list() {
		observed.Faults = append(observed.Faults, fault.ID)
	}
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
	observed.APIReady, observed.Simulated = true, 0
	for name, node := range nodes {
		if cluster.IsSimulated(name, node.Labels) {
			observed.Simulated++
			continue
		}
		observed.Ready[name] = node.Ready == "True"
		observed.Marks[name] = cluster.Marks{Labels: node.Labels, Taints: node.Taints}
	}
	return observed, nil
}
