package simulation

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/skiff-dev/skiff/controlplane/controlapi"
)

// option is a way to place pods on new nodes of one group.
type option struct {
	nodes  int
	placed []waiting
	// waste is the part of the new nodes' CPUs and memory that stays unused, the mean of both.
	waste float64
	world *world // with the pods placed
}

// needs returns the new nodes that pods need. Of several
// groups it takes the one that wastes least, then looks at what is left.
func (s *Simulator) needs(ctx context.Context, r controlapi.RoomRequest, t templates, pods []waiting) ([]controlapi.Need, error) {
	groups := slices.Clone(r.Groups)
	var all []controlapi.Need
	for len(pods) > 0 {
		best := -1
		var chosen option
		for i := range groups {
			tried, err := s.try(ctx, t, groups[i], pods)
			if err != nil {
				return nil, err
			}
			if len(tried.placed) > 0 && (best < 0 || tried.waste < chosen.waste) {
				best, chosen = i, tried
			}
		}
		if best < 0 {
			return all, nil
		}
		s.view.now = chosen.world
		groups[best].Fresh = groups[best].Fresh[chosen.nodes:]
		all = append(all, controlapi.Need{Group: groups[best].Name, Nodes: chosen.nodes, Pods: references(chosen.placed, maxReferences)})
		pods = without(pods, chosen.placed)
	}
	return all, nil
}

func without(all, some []waiting) []waiting {
	gone := map[*corev1.Pod]bool{}
	for _, w := range some {
		gone[w.pod] = true
	}
	var left []waiting
	for _, w := range all {
		if !gone[w.pod] {
			left = append(left, w)
		}
	}
	return left
}

// try places pods on as many new nodes of a group as they need. The current world stays what
// it is.
func (s *Simulator) try(ctx context.Context, t templates, group controlapi.RoomGroup, pods []waiting) (option, error) {
	before := s.view.now
	defer func() { s.view.now = before }()
	s.view.now = before.fork("")
	var tried option
	for _, w := range pods {
		if context.Cause(ctx) != nil {
			return tried, context.Cause(ctx)
		}
		if s.place(ctx, w.pod, s.opened(group, tried.nodes)) == nil {
			tried.placed = append(tried.placed, w)
			continue
		}
		if tried.nodes == len(group.Fresh) {
			continue
		}
		full := s.view.now
		s.view.now = full.fork("")
		if err := s.open(ctx, t, group.Fresh[tried.nodes]); err != nil {
			return tried, err
		}
		if s.place(ctx, w.pod, []fwk.NodeInfo{s.view.now.find(group.Fresh[tried.nodes].Name)}) != nil {
			s.view.now = full // the pod would not fit on any other one either
			continue
		}
		tried.nodes++
		tried.placed = append(tried.placed, w)
	}
	tried.waste, tried.world = wasted(s.opened(group, tried.nodes)), s.view.now
	return tried, nil
}

// opened returns the first of the group's new nodes.
func (s *Simulator) opened(group controlapi.RoomGroup, count int) []fwk.NodeInfo {
	var all []fwk.NodeInfo
	for _, n := range group.Fresh[:count] {
		all = append(all, s.view.now.find(n.Name))
	}
	return all
}

// wasted returns the part of nodes that is unused, between 0 and 1.
func wasted(nodes []fwk.NodeInfo) float64 {
	var cpu, cpus, memory, memories int64
	for _, info := range nodes {
		cpu, cpus = cpu+info.GetRequested().GetMilliCPU(), cpus+info.GetAllocatable().GetMilliCPU()
		memory, memories = memory+info.GetRequested().GetMemory(), memories+info.GetAllocatable().GetMemory()
	}
	return 1 - (part(cpu, cpus)+part(memory, memories))/2
}

func part(of, all int64) float64 {
	if all <= 0 {
		return 0
	}
	return float64(of) / float64(all)
}

// whyUnfit returns why a pod fits on no new node, in one line for users.
func (s *Simulator) whyUnfit(ctx context.Context, r controlapi.RoomRequest, t templates, pod *corev1.Pod) string {
	before := s.view.now
	defer func() { s.view.now = before }()
	why := "no group can grow"
	for _, group := range r.Groups {
		if len(group.Fresh) == 0 {
			continue
		}
		s.view.now = before.fork("")
		if s.open(ctx, t, group.Fresh[0]) != nil {
			continue
		}
		if status := s.place(ctx, pod, []fwk.NodeInfo{s.view.now.find(group.Fresh[0].Name)}); status != nil {
			why = status.Message()
		}
	}
	return why
}
