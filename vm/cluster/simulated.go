package cluster

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/skiff-dev/skiff/internal/names"
)

// simulatedGroup begins the names of simulated nodes.
const simulatedGroup = "simulated"

// maxSimulated is the number of nodes that upstream tests Kubernetes with
// (https://kubernetes.io/docs/setup/best-practices/cluster-large/).
const maxSimulated = 5000

// SimulatedNames returns the names of a number of simulated nodes.
func SimulatedNames(count int) []string {
	all := make([]string, count)
	for i := range all {
		all[i] = fmt.Sprintf("%s-%04d", simulatedGroup, i+1)
	}
	return all
}

// IsSimulated reports whether Skiff has made the simulated node with the given name and
// labels. Users may create others.
func IsSimulated(name string, labels map[string]string) bool {
	var index int
	n, err := fmt.Sscanf(name, simulatedGroup+"-%04d", &index)
	return err == nil && n == 1 && index > 0 && name == fmt.Sprintf("%s-%04d", simulatedGroup, index) && names.Simulated(labels)
}

// simulates reports whether the number of simulated nodes has to change.
func (p *planner) simulates() bool { return p.spec.Simulated != p.observed.Simulated }

// simulate adds the step that changes the number of simulated nodes. It comes last, so that
// the nodes with machines do not wait for it.
func (p *planner) simulate() {
	if !p.simulates() {
		return
	}
	var after []string
	for _, step := range p.steps {
		after = append(after, step.ID())
	}
	p.add(ActionSimulate, "", fmt.Sprintf("%d → %d simulated nodes", p.observed.Simulated, p.spec.Simulated), after...)
}

// validateSimulated returns what is wrong with the number of simulated nodes.
func validateSimulated(spec Spec) []error {
	if spec.Simulated < 0 || spec.Simulated > maxSimulated {
		return []error{fmt.Errorf("simulated is %d: it must be between 0 and %d", spec.Simulated, maxSimulated)}
	}
	if spec.Simulated == 0 {
		return nil
	}
	var faults []error
	if slices.ContainsFunc(spec.Nodes, func(g Group) bool { return g.Name == simulatedGroup }) {
		faults = append(faults, fmt.Errorf("nodes: simulated nodes have the names of the group %s: choose another name for the group", simulatedGroup))
	}
	pods := netip.MustParsePrefix(names.SimulatedPods)
	for _, r := range []struct {
		name   string
		prefix netip.Prefix
	}{{"network.nodes", spec.Network.Nodes}, {"network.pods", spec.Network.Pods}, {"network.services", spec.Network.Services}} {
		if r.prefix.IsValid() && r.prefix.Overlaps(pods) {
			faults = append(faults, fmt.Errorf("%s %s overlaps %s, the addresses of pods on simulated nodes", r.name, r.prefix, pods))
		}
	}
	return faults
}
