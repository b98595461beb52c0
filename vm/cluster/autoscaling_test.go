package cluster

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/vm/machine"
)

// scaled returns a spec with 1 to 5 workers, and 0 to 2 nodes of a group "gpu".
func scaled() Spec {
	spec := Default()
	spec.Workers, spec.WorkersSpan = 1, Span{1, 5}
	spec.Nodes = []Group{{Name: "gpu", Span: Span{0, 2}}}
	return spec
}

func TestBadRangesAreRefused(t *testing.T) {
	host := Host{CPUs: 8, MemoryMiB: 1 << 20, DiskFreeMiB: 1 << 20}
	for what, c := range map[string]struct {
		change func(*Spec)
		want   string
	}{
		"good":                {func(*Spec) {}, ""},
		"one number":          {func(s *Spec) { s.Workers, s.WorkersSpan = 3, Span{3, 3} }, ""},
		"min above max":       {func(s *Spec) { s.WorkersSpan = Span{5, 1} }, "workers is 5..1: the minimum must not be greater than the maximum"},
		"too many":            {func(s *Spec) { s.WorkersSpan = Span{1, 108} }, "workers is 1..108: both must be between 0 and 107"},
		"negative":            {func(s *Spec) { s.WorkersSpan = Span{-1, 3} }, "workers is -1..3: both must be between 0 and 107"},
		"a group's":           {func(s *Spec) { s.Nodes[0].Span = Span{3, 2} }, "nodes: group gpu: count is 3..2: the minimum must not be greater than the maximum"},
		"too many in total":   {func(s *Spec) { s.WorkersSpan, s.Memory = Span{1, 106}, "512Mi" }, "workers and all groups have 108 nodes: the maximum is 107"},
		"more than the host":  {func(s *Spec) { s.WorkersSpan, s.Memory = Span{1, 100}, "20Gi" }, "the memory of all 103 machines adds up to 2109440 MiB, which is more than this host has (1048576 MiB)"},
		"control planes":      {func(s *Spec) { s.Nodes[0] = Group{Name: "control-plane", Span: Span{1, 3}} }, "nodes: group control-plane: count cannot be set here: use controlPlanes"},
		"pods have no ranges": {func(s *Spec) { s.WorkersSpan, s.Network.Pods = Span{1, 5}, netip.MustParsePrefix("10.244.0.0/22") }, "network.pods 10.244.0.0/22 is too small: it has 4 ranges of 256 addresses for 8 nodes"},
		"idle":                {func(s *Spec) { s.Autoscaling.Idle = "soon" }, `invalid autoscaling.idle "soon": use how long a node must not have been needed, such as 10m`},
		"idle too short":      {func(s *Spec) { s.Autoscaling.Idle = "1s" }, "autoscaling.idle is 1s: it must be between 5s and 30d"},
	} {
		spec := scaled()
		c.change(&spec)
		spec = spec.Settled(Spec{})
		var got []string
		for _, err := range Validate(spec, host, 0) {
			got = append(got, err.Error())
		}
		if strings.Join(got, "\n") != c.want {
			t.Errorf("%s: %q, want %q", what, got, c.want)
		}
	}
}

func TestUpKeepsTheNumberThatTheAutoscalerChose(t *testing.T) {
	current := scaled()
	current.Workers, current.Nodes[0].Count = 4, 2
	for what, c := range map[string]struct {
		wanted       Spec
		workers, gpu int
	}{
		"the same file": {scaled(), 4, 2},
		"a smaller maximum": {func() Spec {
			s := scaled()
			s.WorkersSpan = Span{1, 3}
			return s
		}(), 3, 2},
		"a larger minimum": {func() Spec {
			s := scaled()
			s.WorkersSpan, s.Nodes[0].Span = Span{5, 9}, Span{1, 1}
			return s
		}(), 5, 1},
		"fixed": {func() Spec {
			s := scaled()
			s.Workers, s.WorkersSpan = 2, Span{}
			return s
		}(), 2, 2},
	} {
		got := c.wanted.Settled(current)
		if got.Workers != c.workers || got.Nodes[0].Count != c.gpu {
			t.Errorf("%s: %d workers and %d of gpu, want %d and %d", what, got.Workers, got.Nodes[0].Count, c.workers, c.gpu)
		}
	}
	if first := scaled().Settled(Spec{}); first.Workers != 1 || first.Nodes[0].Count != 0 {
		t.Errorf("a new cluster: %+v", first)
	}
}

func TestControlPlanesRunNoPodsIfWorkersMayCome(t *testing.T) {
	spec := scaled()
	spec.Workers, spec.WorkersSpan = 0, Span{0, 3}
	if marks := MarksOf(spec, "control-plane-1"); !slices.Contains(marks.Taints, RoleTaint) {
		t.Errorf("%+v", marks)
	}
}

func TestGroupsGrowAndShrinkWithinTheirRange(t *testing.T) {
	var state State
	state.Want(scaled())
	if _, _, err := state.Grow("worker", 5); err == nil {
		t.Error("more than the maximum")
	}
	grown, added, err := state.Grow("gpu", 2)
	if err != nil || !slices.Equal(added, []string{"gpu-1", "gpu-2"}) || grown.Spec.Nodes[0].Count != 2 {
		t.Fatalf("%v, %v", added, err)
	}
	if state.Spec.Nodes[0].Count != 0 || len(state.Machines) != 2 {
		t.Error("the state itself has changed")
	}
	first, last, drained := grown.Unfinished()
	if !slices.Equal(first, added) || last != nil || drained != nil {
		t.Errorf("unfinished: %v %v %v", first, last, drained)
	}
	smaller, err := grown.Remove([]string{"gpu-1"})
	if err != nil {
		t.Fatal(err)
	}
	first, last, _ = smaller.Unfinished()
	if !slices.Equal(first, []string{"gpu-2"}) || !slices.Equal(last, []string{"gpu-1"}) {
		t.Errorf("unfinished: %v %v", first, last)
	}
	if _, err := state.Remove([]string{"worker-1"}); err == nil || err.Error() != `workers must have at least 1: change its range first, or replace the node with "skiff node replace"` {
		t.Errorf("below the minimum: %v", err)
	}
	// An interrupted removal does not count as an address that is free.
	if fresh := smaller.Fresh(GroupOf(smaller.Spec, "gpu-1")); len(fresh) != 1 || fresh[0].Name != "gpu-3" {
		t.Errorf("%+v", fresh)
	}
}

func TestScalePlanConcernsOnlyItsNodes(t *testing.T) {
	var state State
	state.Want(scaled())
	state, added, err := state.Grow("worker", 1)
	if err != nil {
		t.Fatal(err)
	}
	o := Observed{Prepared: true, Open: true, APIReady: true, Known: state.Machines, Machines: map[string]machine.State{}, Ready: map[string]bool{"control-plane-1": true, "worker-1": false}}
	for _, m := range state.Machines {
		o.Machines[m.Name] = machine.StateRunning
	}
	o.Machines["worker-2"] = machine.StateAbsent
	var got []string
	for _, step := range ScalePlan(state.Spec, o, added) {
		got = append(got, step.ID())
	}
	if want := []string{"create worker-2", "start worker-2", "boot worker-2", "join worker-2", "wait worker-2"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
