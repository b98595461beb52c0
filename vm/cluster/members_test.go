package cluster

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestRemovedNodesAreThoseThatTheUserNamed(t *testing.T) {
	spec := with(func(s *Spec) { s.ControlPlanes, s.Nodes = 3, []Group{{Name: "gpu", Count: 2}} })
	state := State{Spec: spec, Machines: Remember(nil, spec)}
	removed, err := state.Remove([]string{"gpu-1", "worker-1", "control-plane-1", "control-plane-3", "gpu-1"})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, n := range removed.Desired() {
		names = append(names, n.Name)
	}
	if want := []string{"control-plane-2", "worker-2", "gpu-2"}; !slices.Equal(names, want) {
		t.Errorf("left %v, want %v", names, want)
	}
	if again, err := removed.Remove([]string{"gpu-1"}); err != nil || !again.Spec.Same(removed.Spec) {
		t.Errorf("removed twice: %+v, %v", again.Spec, err)
	}
	if state.Spec.Nodes[0].Count != 2 || state.Machines[0].Removing {
		t.Errorf("the earlier state has changed: %+v", state)
	}
	for _, test := range []struct {
		names []string
		want  string
	}{
		{[]string{"control-plane-1"}, "2 control planes would be left"},
		{[]string{"control-plane-1", "control-plane-2", "control-plane-3"}, "at least one control plane"},
	} {
		if _, err := state.Remove(test.names); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: %v", test.names, err)
		}
	}
	if _, err := state.Remove([]string{"gpu-3"}); !errors.Is(err, ErrNoNode) {
		t.Errorf("an unknown node: %v", err)
	}
}

func TestTheOnlyControlPlaneIsNotReplaced(t *testing.T) {
	state := State{Spec: Default(), Machines: Remember(nil, Default())}
	if _, err := state.Replace([]string{"control-plane-1"}); err == nil || !strings.Contains(err.Error(), "only copy") {
		t.Errorf("%v", err)
	}
	if _, err := state.Replace([]string{"worker-3"}); !errors.Is(err, ErrNoNode) {
		t.Errorf("an unknown node: %v", err)
	}
	replaced, err := state.Replace([]string{"worker-2"})
	if m, _ := replaced.Machine("worker-2"); err != nil || !m.Replacing || !replaced.Spec.Same(state.Spec) {
		t.Errorf("%+v, %v", replaced, err)
	}
}

func TestAGroupIsResized(t *testing.T) {
	spec := withGroups(Group{Name: "gpu", Count: 1})
	for group, count := range map[string]func(Spec) int{
		"control-plane": func(s Spec) int { return s.ControlPlanes }, "worker": func(s Spec) int { return s.Workers - 1 }, "gpu": func(s Spec) int { return s.Nodes[0].Count },
	} {
		if got, err := spec.Resized(group, 2); err != nil || count(got) != 3 {
			t.Errorf("%s: %d, %v", group, count(got), err)
		}
	}
	if spec.Nodes[0].Count != 1 {
		t.Error("the earlier spec has changed")
	}
	if _, err := spec.Resized("other", 1); err == nil {
		t.Error("an unknown group was resized")
	}
}
