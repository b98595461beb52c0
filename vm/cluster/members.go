package cluster

import (
	"errors"
	"fmt"
	"slices"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// ErrNoNode reports a name that no node of the cluster has.
var ErrNoNode = errors.New("no such node")

// Resized returns the spec with the count of a group changed by change, which may be
// negative.
func (s Spec) Resized(group string, change int) (Spec, error) {
	switch group {
	case nodeconfig.GroupControlPlanes:
		s.ControlPlanes += change
		return s, nil
	case nodeconfig.GroupWorkers:
		s.Workers += change
		return s, nil
	}
	i := slices.IndexFunc(s.Nodes, func(g Group) bool { return g.Name == group })
	if i < 0 {
		return s, fmt.Errorf("no group named %q", group)
	}
	s.Nodes = slices.Clone(s.Nodes)
	s.Nodes[i].Count += change
	return s, nil
}

// IsOwnGroup reports whether every cluster has a group. The count of such a group is a
// separate setting of the Spec.
func IsOwnGroup(name string) bool {
	return name == nodeconfig.GroupControlPlanes || name == nodeconfig.GroupWorkers
}

// CountKey returns, for users, the key of skiff.yaml that sets the number of a group's
// nodes.
func CountKey(group string) string {
	switch group {
	case nodeconfig.GroupControlPlanes:
		return "controlPlanes"
	case nodeconfig.GroupWorkers:
		return "workers"
	}
	return "count of the group " + group
}

// Remove returns the state without the named nodes among the desired ones, and with smaller
// groups. It skips nodes that are already being removed. A group that is scaled keeps its
// minimum.
func (s State) Remove(names []string) (State, error) {
	desired := s.Desired()
	s.Machines = slices.Clone(s.Machines)
	for _, name := range slices.Compact(slices.Sorted(slices.Values(names))) {
		i := machineIndex(s.Machines, name)
		if i < 0 {
			return s, fmt.Errorf("%w: %s", ErrNoNode, name)
		}
		if !hasNode(desired, name) {
			continue
		}
		group, _, _ := nodeconfig.SplitName(name)
		var err error
		if s.Spec, err = s.Spec.Resized(group, -1); err != nil {
			return s, err
		}
		if g := GroupOf(s.Spec, name); g.Count < g.Span.Min {
			return s, fmt.Errorf("%s must have at least %d: change its range first, or replace the node with \"skiff node replace\"", CountKey(group), g.Span.Min)
		}
		s.Machines[i].Removing, s.Machines[i].Replacing = true, false
	}
	switch left := s.Spec.ControlPlanes; {
	case left < 1:
		return s, errors.New("a cluster needs at least one control plane: to delete it, run \"skiff down\"")
	case left%2 == 0:
		return s, fmt.Errorf("%d control planes would be left, and an even number tolerates no more failures than the odd number below it: remove one more, or replace one with \"skiff node replace\"", left)
	}
	return s, nil
}

// Replace returns the state in which new machines are desired for the named nodes.
func (s State) Replace(names []string) (State, error) {
	desired := s.Desired()
	s.Machines = slices.Clone(s.Machines)
	for _, name := range names {
		i := machineIndex(s.Machines, name)
		if i < 0 || !hasNode(desired, name) {
			return s, fmt.Errorf("%w: %s", ErrNoNode, name)
		}
		if IsControlPlane(name) && s.Spec.ControlPlanes == 1 {
			return s, fmt.Errorf("%s is the only control plane, so its machine has the only copy of the cluster's data: add control planes with \"skiff up --control-planes 3\" first", name)
		}
		s.Machines[i].Replacing = true
	}
	return s, nil
}
