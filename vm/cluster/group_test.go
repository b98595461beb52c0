package cluster

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/internal/kubenames"
)

func withGroups(groups ...Group) Spec { return with(func(s *Spec) { s.Nodes = groups }) }

// named returns the names and host numbers of nodes.
func named(nodes []Node) []string {
	var all []string
	for _, n := range nodes {
		all = append(all, fmt.Sprintf("%s=%d", n.Name, n.number()))
	}
	return all
}

func TestNodesKeepNamesAndAddressesWhenGroupsChange(t *testing.T) {
	gpu, db := Group{Name: "gpu", Count: 2}, Group{Name: "db", Count: 1}
	var known []Machine
	for _, step := range []struct {
		what   string
		spec   Spec
		remove []string // the machines that the user removes
		want   []string
	}{
		{"two groups", withGroups(gpu, db), nil, []string{"control-plane-1=11", "worker-1=21", "worker-2=22", "gpu-1=127", "gpu-2=126", "db-1=125"}},
		{"in another order", withGroups(db, gpu), nil, []string{"control-plane-1=11", "worker-1=21", "worker-2=22", "db-1=125", "gpu-1=127", "gpu-2=126"}},
		{"without one", withGroups(db), nil, []string{"control-plane-1=11", "worker-1=21", "worker-2=22", "db-1=125"}},
		{"with a larger one", withGroups(Group{Name: "db", Count: 3}), nil, []string{"control-plane-1=11", "worker-1=21", "worker-2=22", "db-1=125", "db-2=127", "db-3=126"}},
		{"one is removed", withGroups(Group{Name: "db", Count: 2}), []string{"db-1"}, []string{"control-plane-1=11", "worker-1=21", "worker-2=22", "db-2=127", "db-3=126"}},
		{"one is added while another is being removed", withGroups(Group{Name: "db", Count: 2}), []string{"db-2"}, []string{"control-plane-1=11", "worker-1=21", "worker-2=22", "db-1=125", "db-3=126"}},
		{"a gap is filled", withGroups(Group{Name: "db", Count: 3}), nil, []string{"control-plane-1=11", "worker-1=21", "worker-2=22", "db-1=125", "db-2=127", "db-3=126"}},
	} {
		for i := range known {
			known[i].Removing = slices.Contains(step.remove, known[i].Name)
		}
		state := State{Spec: step.spec, Machines: Remember(known, step.spec)}
		if got := named(state.Desired()); !slices.Equal(got, step.want) {
			t.Errorf("%s: %v, want %v", step.what, got, step.want)
		}
		if got := Nodes(step.spec, known); !slices.Equal(got, state.Desired()) {
			t.Errorf("%s: once remembered, the nodes are %v instead of %v", step.what, named(state.Desired()), named(got))
		}
		if err := validateMachines(state.Machines); err != nil {
			t.Errorf("%s: %v", step.what, err)
		}
		known = state.Retain()
	}
}

func TestAllAddressesOfNodesCanBeUsed(t *testing.T) {
	spec := with(func(s *Spec) {
		s.ControlPlanes, s.Workers = maxControlPlanes, 7
		s.Nodes = []Group{{Name: "many", Count: MaxWorkers - 7}}
	})
	state := State{Spec: spec, Machines: Remember(nil, spec)}
	if err := validateMachines(state.Machines); err != nil || len(state.Machines) != maxControlPlanes+MaxWorkers {
		t.Fatalf("%d machines: %v", len(state.Machines), err)
	}
	// Workers grow into the addresses that the other group leaves.
	state.Spec.Workers, state.Spec.Nodes[0].Count = 17, MaxWorkers-17
	state.Machines = state.Retain()
	state.Machines = Remember(state.Machines, state.Spec)
	if err := validateMachines(state.Machines); err != nil || len(state.Machines) != maxControlPlanes+MaxWorkers {
		t.Errorf("%d machines: %v", len(state.Machines), err)
	}
	if n := Nodes(withGroups(Group{Name: "gpu", Count: 1}), state.Machines); n[len(n)-1].number() != 0 {
		t.Errorf("no address is left for %s, but it has %s", n[len(n)-1].Name, n[len(n)-1].Address)
	}
}

func TestAGroupHasItsOwnSizeAndZone(t *testing.T) {
	spec := with(func(s *Spec) {
		s.Zones = 3
		s.Nodes = []Group{
			{Name: "control-plane", Memory: "4Gi"},
			{Name: "worker", CPUs: 1},
			{Name: "gpu", Count: 2, CPUs: 4, Memory: "8Gi", Disk: "40Gi", Zone: "b"},
			{Name: "plain", Count: 2},
		}
	})
	want := map[string]string{
		"control-plane-1": "2 4096 20480 local-a", "worker-1": "1 2048 20480 local-a", "worker-2": "1 2048 20480 local-b",
		"gpu-1": "4 8192 40960 local-b", "gpu-2": "4 8192 40960 local-b", "plain-1": "2 2048 20480 local-a", "plain-2": "2 2048 20480 local-b",
	}
	got := map[string]string{}
	for _, n := range Nodes(spec, nil) {
		got[n.Name] = fmt.Sprint(n.Size.CPUs, n.Size.MemoryMiB, n.Size.DiskMiB, " ", n.Zone)
	}
	if !maps.Equal(got, want) {
		t.Errorf("nodes %v, want %v", got, want)
	}
}

func TestANodeRegistersWithTheMarksThatItsKubeletMaySet(t *testing.T) {
	spec := with(func(s *Spec) {
		s.Workers = 0
		s.Nodes = []Group{
			{Name: "gpu", Count: 1, Labels: map[string]string{"gpu": "yes", "example.com/model": "x", "node-role.kubernetes.io/gpu": "", "node.kubernetes.io/pool": "gpu", "node-restriction.kubernetes.io/trusted": "true"}, Taints: []string{"gpu=yes:NoSchedule"}},
			{Name: "control-plane", Labels: map[string]string{"tier": "control"}},
		}
	})
	nodes := Nodes(spec, nil)
	first, last := Document(State{Spec: spec}, nodes[0], nil, time.Time{}).Kubernetes, Document(State{Spec: spec}, nodes[1], nil, time.Time{}).Kubernetes
	if want := map[string]string{"gpu": "yes", "example.com/model": "x", "node.kubernetes.io/pool": "gpu"}; !maps.Equal(last.Labels, want) || !slices.Equal(last.Taints, []string{"gpu=yes:NoSchedule"}) {
		t.Errorf("%s registers with %v and %v", nodes[1].Name, last.Labels, last.Taints)
	}
	if len(MarksOf(spec, "gpu-1").Labels) != 5 {
		t.Errorf("the marks are %v", MarksOf(spec, "gpu-1"))
	}
	if !slices.Equal(first.Taints, []string{RoleTaint}) || first.Labels["tier"] != "control" {
		t.Errorf("the control plane registers with %v and %v", first.Labels, first.Taints)
	}
	spec.Nodes[0].Count = 0
	if taints := MarksOf(spec, "control-plane-1").Taints; len(taints) != 0 {
		t.Errorf("the only node runs no pods: %v", taints)
	}
}

func TestEachFaultOfAGroupIsOneLine(t *testing.T) {
	host := roomy
	host.Names = kubenames.Read
	for _, test := range []struct {
		group Group
		want  string
	}{
		{Group{}, "nodes[0]: name is missing"},
		{Group{Name: "GPU"}, "invalid name"},
		{Group{Name: "1gpu"}, "beginning with a letter"},
		{Group{Name: strings.Repeat("a", 31)}, "up to 30"},
		{Group{Name: "control-plane-x"}, "names of control planes"},
		{Group{Name: "worker", Count: 2}, "use workers"},
		{Group{Name: "control-plane", Count: 3}, "use controlPlanes"},
		{Group{Name: "gpu", Count: -1}, "count is -1"},
		{Group{Name: "gpu", Count: 108, Memory: "512Mi"}, "between 0 and 107"},
		{Group{Name: "gpu", Count: 106, Memory: "1"}, "too small"},
		{Group{Name: "gpu", CPUs: 9}, "1 to 8"},
		{Group{Name: "gpu", CPUs: -1}, "cpus is -1"},
		{Group{Name: "gpu", Memory: "lots"}, "invalid memory"},
		{Group{Name: "gpu", Count: 1, Memory: "30Gi"}, "more than this host has"},
		{Group{Name: "gpu", Disk: "1Gi"}, "too small"},
		{Group{Name: "gpu", Disk: "big"}, "invalid disk size"},
		{Group{Name: "gpu", Zone: "c"}, "zones a to b"},
		{Group{Name: "gpu", Zone: "local-a"}, "invalid zone"},
		{Group{Name: "gpu", Labels: map[string]string{"a b": ""}}, "invalid label"},
		{Group{Name: "gpu", Labels: map[string]string{"a": "b c"}}, "invalid value"},
		{Group{Name: "gpu", Labels: map[string]string{"kubernetes.io/hostname": "x"}}, "sets it itself"},
		{Group{Name: "gpu", Labels: map[string]string{"node-role.kubernetes.io/control-plane": ""}}, "sets it itself"},
		{Group{Name: "gpu", Labels: map[string]string{"skiff.dev/role": "worker"}}, "sets it itself"},
		{Group{Name: "gpu", Taints: []string{"dedicated"}}, "KEY=VALUE:EFFECT"},
		{Group{Name: "gpu", Taints: []string{"dedicated:Never"}}, "NoSchedule, PreferNoSchedule, NoExecute"},
		{Group{Name: "gpu", Taints: []string{"a b:NoSchedule"}}, "the key"},
		{Group{Name: "gpu", Taints: []string{"a=b c:NoSchedule"}}, "the value"},
		{Group{Name: "gpu", Taints: []string{"a=b:NoSchedule", "a=c:NoSchedule"}}, "same key and effect"},
		{Group{Name: "gpu", Taints: []string{"node.kubernetes.io/unschedulable:NoSchedule"}}, "sets it itself"},
		{Group{Name: "gpu", Taints: []string{"node.cloudprovider.kubernetes.io/uninitialized:NoSchedule"}}, "sets it itself"},
		{Group{Name: "gpu", Kubelet: map[string]any{"maxPds": 50.0}}, "maxPods"},
		{Group{Name: "gpu", Kubelet: map[string]any{"clusterDNS": []any{"x"}}}, "cannot be set"},
	} {
		spec := withGroups(test.group)
		spec.Zones = 2
		faults := Validate(spec, host, 0)
		if len(faults) != 1 || !strings.Contains(faults[0].Error(), test.want) || strings.Contains(faults[0].Error(), "\n") {
			t.Errorf("%+v: faults %q, want one line with %q", test.group, faults, test.want)
		}
	}
	if faults := Validate(withGroups(Group{Name: "gpu"}, Group{Name: "gpu"}), host, 0); len(faults) != 1 || !strings.Contains(faults[0].Error(), "another group") {
		t.Errorf("the same name twice: %v", faults)
	}
	spacious := host
	spacious.MemoryMiB = 1 << 30
	if faults := Validate(withGroups(Group{Name: "gpu", Count: 106}), spacious, 0); len(faults) != 1 || !strings.Contains(faults[0].Error(), "maximum is 107") {
		t.Errorf("too many nodes: %v", faults)
	}
	good := Group{
		Name: "gpu", Count: 1, CPUs: 4, Memory: "8Gi", Disk: "40Gi", Labels: map[string]string{"gpu": "", "node-role.kubernetes.io/gpu": ""},
		Taints: []string{"gpu=yes:NoSchedule", "gpu:NoExecute"}, Kubelet: map[string]any{"maxPods": 50.0},
	}
	if faults := Validate(withGroups(good), host, 0); len(faults) > 0 {
		t.Errorf("a good group: %v", faults)
	}
}

func TestTheZoneOfExistingNodesCannotChange(t *testing.T) {
	before := with(func(s *Spec) { s.Zones, s.Nodes = 2, []Group{{Name: "gpu", Count: 1, Zone: "a"}} })
	after := with(func(s *Spec) { s.Zones, s.Nodes = 2, []Group{{Name: "gpu", Count: 1, Zone: "b"}} })
	state := State{Spec: before, Machines: Remember(nil, before)}
	if faults := Changes(state, after); len(faults) != 1 || !strings.Contains(faults[0].Error(), "zone cannot change") {
		t.Errorf("faults %v", faults)
	}
	state.Spec.Nodes = nil
	state.Machines = state.Retain()
	if faults := Changes(state, after); len(faults) != 0 {
		t.Errorf("a new group: %v", faults)
	}
}

func TestANodeWithoutAnAddressIsRefused(t *testing.T) {
	before := with(func(s *Spec) { s.Workers = MaxWorkers })
	state := State{Spec: before, Machines: Remember(nil, before)}
	after := with(func(s *Spec) { s.Workers, s.Nodes = 5, []Group{{Name: "gpu", Count: 1}} })
	if faults := Changes(state, after); len(faults) != 1 || !strings.Contains(faults[0].Error(), "no address left for gpu-1") {
		t.Errorf("faults %v", faults)
	}
}
