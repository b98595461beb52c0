package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-dev/skiff/controlplane/controlapi"
	"github.com/skiff-dev/skiff/internal/names"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/autoscale"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/kube"
)

// errUnsettled reports that a cluster is not scaled now, because it is in the middle of
// another change.
var errUnsettled = errors.New("the cluster is not scaled while another change is not finished")

// Room observes the cluster for the autoscaler. The error is errors.ErrUnsupported if the
// node image is too old.
func (f *Fleet) Room(ctx context.Context) (autoscale.Observation, error) {
	end, ok := f.standby.Work()
	if !ok {
		return autoscale.Observation{}, errUnsettled
	}
	defer end()
	state := f.state.current()
	if state.Upgrade != nil || state.Trial != nil || f.paused(ctx) || f.Restoring() || f.Rotating() || f.RotatingAuthorities() {
		return autoscale.Observation{}, errUnsettled
	}
	ctx, cancel := context.WithTimeout(ctx, healthLimit)
	defer cancel()
	registered, err := f.api.kube.Nodes(ctx)
	if err != nil {
		return autoscale.Observation{}, err
	}
	added, removed, drained := state.Unfinished()
	seen := autoscale.Observation{Unfinished: len(added)+len(removed)+len(drained) > 0, Members: map[string]string{}}
	for _, g := range cluster.ScaledGroups(state.Spec) {
		seen.Groups = append(seen.Groups, autoscale.Group{Name: g.Name, Min: g.Span.Min, Max: g.Span.Max, Count: g.Count})
	}
	if seen.Unfinished {
		return seen, nil
	}
	request, err := f.roomRequest(ctx, state, registered)
	if err != nil {
		return seen, err
	}
	for _, name := range request.Candidates {
		seen.Members[name], _, _ = nodeconfig.SplitName(name)
	}
	seen.Room, err = f.askRoom(ctx, request)
	f.scaler.observed(seen.Room, err)
	return seen, err
}

// askRoom asks the control plane that schedules.
func (c *core) askRoom(ctx context.Context, request controlapi.RoomRequest) (controlapi.Room, error) {
	failed := errors.New("no control plane is running")
	for _, n := range c.state.controlPlanes() {
		if !c.machines.running(ctx, n.Name) {
			continue
		}
		room, err := c.nodes.client(n).ControlPlane().Room(ctx, request)
		if err == nil {
			return room, nil
		}
		failed = fmt.Errorf("ask %s which nodes are needed: %w", n.Name, err)
	}
	return controlapi.Room{}, failed
}

// roomRequest describes the groups that are scaled.
func (f *Fleet) roomRequest(ctx context.Context, state cluster.State, registered map[string]kube.Node) (controlapi.RoomRequest, error) {
	var request controlapi.RoomRequest
	desired := state.Desired()
	for _, group := range cluster.ScaledGroups(state.Spec) {
		model, ok := modelOf(group, desired, registered)
		if !ok {
			return request, errors.New("no node is Ready that could be a model of new ones")
		}
		request.Groups = append(request.Groups, roomGroup(state, group, model))
		for _, n := range desired {
			switch node := registered[n.Name]; {
			case n.Group != group.Name:
			case node.Ready != "True":
				// A node that is broken on purpose may stay so.
				if f.RepairAfter() > 0 && !f.held(n.Name) {
					request.Coming = append(request.Coming, controlapi.RoomNode{Name: n.Name, Group: n.Group, Zone: n.Zone})
				}
			case group.Count > group.Span.Min && !node.Cordoned && f.machines.running(ctx, n.Name):
				request.Candidates = append(request.Candidates, n.Name)
			}
		}
	}
	// Nothing may be lost with a disk.
	for _, name := range slices.Clone(request.Candidates) {
		claims, err := f.api.kube.LocalClaims(ctx, name)
		if err != nil {
			return request, err
		}
		if len(claims) > 0 {
			request.Candidates = slices.DeleteFunc(request.Candidates, func(other string) bool { return other == name })
		}
	}
	return request, nil
}

// modelOf returns the Ready node that resembles those of a group most.
func modelOf(group cluster.Group, desired []cluster.Node, registered map[string]kube.Node) (cluster.Node, bool) {
	var best cluster.Node
	rank := func(n cluster.Node) int {
		switch {
		case n.Name == "":
			return 0
		case n.Group == group.Name:
			return 3
		case n.Role == nodeconfig.RoleWorker:
			return 2
		}
		return 1
	}
	for _, n := range desired {
		if registered[n.Name].Ready == "True" && rank(n) > rank(best) {
			best = n
		}
	}
	return best, best.Name != ""
}

// roomGroup describes a group and the nodes that it may still get.
func roomGroup(state cluster.State, group cluster.Group, model cluster.Node) controlapi.RoomGroup {
	marks := cluster.MarksOf(state.Spec, group.Name+"-1")
	described := controlapi.RoomGroup{
		Name: group.Name, Labels: map[string]string{}, Taints: marks.Taints,
		Model: model.Name, ModelSize: roomSize(model.Size), SameGroup: model.Group == group.Name,
	}
	for _, n := range state.Fresh(group) {
		described.Fresh = append(described.Fresh, controlapi.RoomNode{Name: n.Name, Group: group.Name, Zone: n.Zone})
	}
	size := cluster.SizeOf(group)
	described.Size = roomSize(size)
	described.Labels[names.LabelRole] = string(nodeconfig.RoleWorker)
	described.Labels[names.LabelNodeRolePrefix+string(nodeconfig.RoleWorker)] = ""
	described.Labels[corev1.LabelInstanceTypeStable] = cluster.InstanceType(state.Spec, cluster.Node{Name: group.Name + "-1", Size: size})
	if arch := group.Foreign(); arch != model.Arch { // the label of the model is wrong
		described.Labels[corev1.LabelArchStable] = cmp.Or(arch, runtime.GOARCH)
	}
	for name, value := range marks.Labels {
		described.Labels[name] = value
	}
	return described
}

func roomSize(s cluster.Size) controlapi.RoomSize {
	return controlapi.RoomSize{CPUs: s.CPUs, MemoryMiB: s.MemoryMiB, DiskMiB: s.DiskMiB}
}
