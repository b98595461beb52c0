package cluster

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/vm/machine"
)

// observedAs returns an open cluster whose machines are all in one state.
func observedAs(state machine.State, ready bool, names ...string) Observed {
	o := Observed{Prepared: true, Open: true, Machines: map[string]machine.State{}, Ready: map[string]bool{}, APIReady: ready}
	for _, name := range names {
		o.Machines[name] = state
		if ready {
			o.Ready[name] = true
		}
	}
	return o
}

func lines(steps []Step) []string {
	var all []string
	for _, step := range steps {
		all = append(all, step.String())
	}
	return all
}

func TestPlan(t *testing.T) {
	running := func(change func(*Observed), surplus ...string) Observed {
		o := observedAs(machine.StateRunning, true, append([]string{"control-plane-1", "worker-1", "worker-2"}, surplus...)...)
		if change != nil {
			change(&o)
		}
		return o
	}
	for name, test := range map[string]struct {
		observed Observed
		want     []string
	}{
		"new cluster": {Observed{}, []string{
			"prepare (new cluster)",
			"create control-plane-1 (new)", "create worker-1 (new)", "create worker-2 (new)",
			"start control-plane-1 (absent)", "start worker-1 (absent)", "start worker-2 (absent)",
			"boot control-plane-1", "boot worker-1", "boot worker-2", "serve (API not ready)",
			"join control-plane-1", "join worker-1", "join worker-2",
			"wait control-plane-1 (not Ready)", "wait worker-1 (not Ready)", "wait worker-2 (not Ready)",
		}},
		"nothing to do": {running(nil), nil},
		"a worker ended": {
			running(func(o *Observed) {
				o.Machines["worker-1"], o.Ended = machine.StateStopped, map[string]string{"worker-1": "signal: killed"}
			}),
			[]string{"start worker-1 (stopped by itself: signal: killed)", "boot worker-1", "serve (nodes change)", "join worker-1", "wait worker-1 (not Ready)"},
		},
		"a node is not Ready": {
			running(func(o *Observed) { o.Ready["worker-2"] = false }),
			[]string{"serve (nodes change)", "wait worker-2 (not Ready)"},
		},
		"a node was deleted with kubectl": {
			running(func(o *Observed) { delete(o.Ready, "worker-2") }),
			[]string{"boot worker-2", "serve (nodes change)", "join worker-2", "wait worker-2 (not Ready)"},
		},
		"a new node got no images": {
			running(func(o *Observed) {
				o.Known = []Machine{{Name: "worker-2", Number: workerNumber + 1, LacksImages: true}}
			}),
			[]string{"join worker-2 (loaded images are copied)"},
		},
		"two control planes too many": {
			running(nil, "control-plane-2", "control-plane-3"),
			[]string{
				"serve (nodes change)",
				"drain control-plane-3 (no longer part of the cluster)", "leave control-plane-3 (no longer part of the cluster)", "delete control-plane-3 (no longer part of the cluster)",
				"drain control-plane-2 (no longer part of the cluster)", "leave control-plane-2 (no longer part of the cluster)", "delete control-plane-2 (no longer part of the cluster)",
			},
		},
		"a control plane too many and all stopped": {
			observedAs(machine.StateStopped, false, "control-plane-1", "control-plane-2", "worker-1", "worker-2"),
			[]string{
				"start control-plane-1 (stopped)", "start worker-1 (stopped)", "start worker-2 (stopped)", "start control-plane-2 (still votes in etcd)",
				"boot control-plane-1", "boot worker-1", "boot worker-2", "boot control-plane-2", "serve (API not ready)",
				"join control-plane-1", "join worker-1", "join worker-2",
				"wait control-plane-1 (not Ready)", "wait worker-1 (not Ready)", "wait worker-2 (not Ready)",
				"drain control-plane-2 (no longer part of the cluster)", "leave control-plane-2 (no longer part of the cluster)", "delete control-plane-2 (no longer part of the cluster)",
			},
		},
		"a worker too many": {
			running(nil, "worker-3"),
			[]string{"serve (nodes change)", "drain worker-3 (no longer part of the cluster)", "delete worker-3 (no longer part of the cluster)"},
		},
		"paused": {
			running(func(o *Observed) {
				o.Machines = map[string]machine.State{"control-plane-1": machine.StatePaused, "worker-1": machine.StateStopped, "worker-2": machine.StateRunning, "worker-3": machine.StatePaused}
				o.APIReady, o.Ready = false, nil
			}),
			[]string{
				"resume control-plane-1 (paused)", "resume worker-3 (paused)", "start worker-1 (stopped)",
				"boot worker-1", "boot worker-2", "serve (API not ready)",
				"join control-plane-1", "join worker-1", "join worker-2",
				"wait control-plane-1 (not Ready)", "wait worker-1 (not Ready)", "wait worker-2 (not Ready)",
				"drain worker-3 (no longer part of the cluster)", "delete worker-3 (no longer part of the cluster)",
			},
		},
		"saved, one machine with another size and one that is surplus": {
			running(func(o *Observed) {
				o.Machines = map[string]machine.State{"control-plane-1": machine.StateSaved, "worker-1": machine.StateSaved, "worker-2": machine.StateSaved, "worker-3": machine.StateSaved}
				o.Sizes = map[string]Size{"control-plane-1": {CPUs: 2, MemoryMiB: 2048}, "worker-1": {CPUs: 2, MemoryMiB: 1024}}
				o.Open, o.APIReady, o.Ready = false, false, nil
			}),
			[]string{
				"prepare (stopped)", "resume control-plane-1 (saved)", "resume worker-2 (saved)",
				"start worker-1 (its saved memory cannot be used: 1024 → 2048 MiB of memory)",
				"boot worker-1", "serve (API not ready)",
				"join control-plane-1", "join worker-1", "join worker-2",
				"wait control-plane-1 (not Ready)", "wait worker-1 (not Ready)", "wait worker-2 (not Ready)",
				"drain worker-3 (no longer part of the cluster)", "delete worker-3 (no longer part of the cluster)",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := lines(Plan(Default(), test.observed)); !slices.Equal(got, test.want) {
				t.Errorf("plan\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
		})
	}
}

func TestResumePlanStartsNothing(t *testing.T) {
	o := observedAs(machine.StatePaused, false, "control-plane-1", "worker-1", "worker-2")
	o.Machines["worker-1"] = machine.StateStopped
	o.Machines["worker-3"] = machine.StateSaved
	want := []string{
		"resume control-plane-1 (paused)", "resume worker-2 (paused)", "serve (API not ready)",
		"join control-plane-1", "join worker-2", "wait control-plane-1 (not Ready)", "wait worker-2 (not Ready)",
	}
	if got := lines(ResumePlan(Default(), o)); !slices.Equal(got, want) {
		t.Errorf("plan\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := ResumePlan(Default(), observedAs(machine.StateRunning, true, "control-plane-1", "worker-1", "worker-2")); len(got) != 0 {
		t.Errorf("a plan for a cluster that is not paused: %v", lines(got))
	}
}

func TestStepsComeAfterWhatTheyNeed(t *testing.T) {
	o := observedAs(machine.StateRunning, true, "control-plane-1", "control-plane-2", "control-plane-3", "worker-3")
	delete(o.Machines, "control-plane-1") // lost
	after := map[string][]string{}
	for _, step := range Plan(Default(), o) {
		after[step.ID()] = step.After
	}
	for id, want := range map[string][]string{
		"create control-plane-1": nil,
		"start control-plane-1":  {"create control-plane-1"},
		"start worker-1":         {"create worker-1", "start control-plane-1"},
		"serve":                  {"boot control-plane-1"},
		"join worker-1":          {"serve", "boot worker-1"},
		"wait worker-1":          {"serve", "join worker-1"},
		"drain worker-3":         {"serve"},
		"drain control-plane-3":  {"serve"},
		"leave control-plane-3":  {"drain control-plane-3"},
		"delete control-plane-3": {"drain control-plane-3", "leave control-plane-3"},
		"drain control-plane-2":  {"serve", "delete control-plane-3"},
	} {
		if got := after[id]; !slices.Equal(got, want) {
			t.Errorf("%s comes after %v, want %v", id, got, want)
		}
	}
}

func TestChangedSettingsOfKubernetesAreOneStep(t *testing.T) {
	spec := Default()
	spec.Kubernetes.FeatureGates = map[string]bool{"ContextualLogging": false}
	all := []string{"control-plane-1", "worker-1", "worker-2"}
	const configure = "configure (the settings of Kubernetes changed)"
	for name, test := range map[string]struct {
		observed Observed
		want     []string
	}{
		"running":              {observedAs(machine.StateRunning, true, all...), []string{configure}},
		"a machine is missing": {observedAs(machine.StateRunning, false, "control-plane-1"), nil},
		"stopped":              {observedAs(machine.StateStopped, false, all...), nil},
	} {
		steps := lines(Plan(spec, test.observed))
		if test.want != nil && !slices.Equal(steps, test.want) {
			t.Errorf("%s: %q, want %q", name, steps, test.want)
		}
		if !slices.Contains(steps, configure) {
			t.Errorf("%s: no %q in %q", name, configure, steps)
		}
	}
	broken := Plan(spec, observedAs(machine.StateRunning, false, all...))
	if got := lines(broken); slices.Index(got, configure) > slices.Index(got, "serve (API not ready)") {
		t.Errorf("the API that does not answer is waited for first: %q", got)
	}
	stopped := Plan(spec, observedAs(machine.StateStopped, false, all...))
	if last := stopped[len(stopped)-1]; last.Action != ActionConfigure || !slices.Contains(last.After, "wait worker-2") {
		t.Errorf("a stopped cluster does not start with the settings in force: %q after %q", last, last.After)
	}
	inForce := observedAs(machine.StateRunning, true, all...)
	inForce.Components = spec.Kubernetes
	if steps := Plan(spec, inForce); len(steps) > 0 {
		t.Errorf("settings in force: %q", lines(steps))
	}
	if got := lines(Plan(spec, Observed{})); slices.Contains(got, configure) {
		t.Errorf("a new cluster starts with its settings: %q", got)
	}
}

// settled returns an open cluster whose nodes are all as spec wants them.
func settled(spec Spec) Observed {
	state := State{Spec: spec, Machines: Remember(nil, spec)}
	o := observedAs(machine.StateRunning, true, state.Names()...)
	o.Sizes, o.Marks, o.Kubelets = map[string]Size{}, map[string]Marks{}, Kubelets(spec)
	for i, n := range state.Desired() {
		m := &state.Machines[i]
		marks := MarksOf(spec, n.Name)
		m.DiskMiB, m.Labels, m.Taints = n.Size.DiskMiB, marks.Labels, marks.Taints
		o.Sizes[n.Name], o.Marks[n.Name] = n.Size, marks
	}
	o.Known = state.Machines
	return o
}

func TestAChangeOfNodesIsOnlyTheDifference(t *testing.T) {
	gpu := Group{Name: "gpu", Count: 1, Labels: map[string]string{"gpu": "yes"}, Taints: []string{"gpu:NoSchedule"}}
	known := func(o *Observed, name string) *Machine {
		return &o.Known[slices.IndexFunc(o.Known, func(m Machine) bool { return m.Name == name })]
	}
	for name, test := range map[string]struct {
		before, after Spec
		change        func(*Observed)
		want          []string
	}{
		"nothing": {withGroups(gpu), withGroups(gpu), nil, nil},
		"a new group": {Default(), withGroups(gpu), nil, []string{
			"create gpu-1 (new)", "start gpu-1 (absent)", "boot gpu-1", "serve (nodes change)", "join gpu-1", "wait gpu-1 (not Ready)",
		}},
		"a new group with labels that no kubelet may set": {Default(), withGroups(Group{Name: "gpu", Count: 1, Labels: map[string]string{"node-role.kubernetes.io/gpu": ""}}), nil, []string{
			"create gpu-1 (new)", "start gpu-1 (absent)", "boot gpu-1", "serve (nodes change)", "join gpu-1", "wait gpu-1 (not Ready)", "label gpu-1 (labels or taints differ)",
		}},
		"a group less": {withGroups(gpu), Default(), nil, []string{
			"serve (nodes change)", "drain gpu-1 (no longer part of the cluster)", "delete gpu-1 (no longer part of the cluster)",
		}},
		"other labels": {withGroups(gpu), withGroups(Group{Name: "gpu", Count: 1, Labels: map[string]string{"gpu": "no"}, Taints: gpu.Taints}), nil, []string{
			"serve (nodes change)", "label gpu-1 (labels or taints differ)",
		}},
		"a label that somebody removed": {withGroups(gpu), withGroups(gpu), func(o *Observed) { o.Marks["gpu-1"] = Marks{Taints: gpu.Taints} }, []string{
			"serve (nodes change)", "label gpu-1 (labels or taints differ)",
		}},
		"a label of the user": {withGroups(gpu), withGroups(gpu), func(o *Observed) {
			o.Marks["gpu-1"] = Marks{Labels: map[string]string{"gpu": "yes", "mine": ""}, Taints: []string{"gpu:NoSchedule", "mine:NoExecute"}}
		}, nil},
		"the user runs pods on the control plane": {Default(), Default(), func(o *Observed) { o.Marks["control-plane-1"] = Marks{} }, nil},
		"more memory for workers": {Default(), withGroups(Group{Name: "worker", Memory: "3Gi"}), nil, []string{
			"serve (nodes change)",
			"drain worker-1 (2048 → 3072 MiB of memory)", "restart worker-1 (2048 → 3072 MiB of memory)", "uncordon worker-1",
			"drain worker-2 (2048 → 3072 MiB of memory)", "restart worker-2 (2048 → 3072 MiB of memory)", "uncordon worker-2",
		}},
		"other CPUs for all": {with(func(s *Spec) { s.Workers = 1 }), with(func(s *Spec) { s.Workers, s.CPUs = 1, 1 }), nil, []string{
			"serve (nodes change)",
			"drain control-plane-1 (2 → 1 CPUs)", "restart control-plane-1 (2 → 1 CPUs)", "uncordon control-plane-1",
			"drain worker-1 (2 → 1 CPUs)", "restart worker-1 (2 → 1 CPUs)", "uncordon worker-1",
		}},
		"the only node": {with(func(s *Spec) { s.Workers = 0 }), with(func(s *Spec) { s.Workers, s.Memory = 0, "4Gi" }), nil, []string{
			"serve (nodes change)", "restart control-plane-1 (2048 → 4096 MiB of memory)",
		}},
		"a control plane without enough memory": {Default(), withGroups(Group{Name: "control-plane", Memory: "4Gi"}), func(o *Observed) { o.APIReady, o.Ready = false, nil }, []string{
			"stop control-plane-1 (2048 → 4096 MiB of memory)", "start control-plane-1 (2048 → 4096 MiB of memory)",
			"boot control-plane-1", "boot worker-1", "boot worker-2", "serve (API not ready)",
			"join control-plane-1", "join worker-1", "join worker-2", "wait control-plane-1 (not Ready)", "wait worker-1 (not Ready)", "wait worker-2 (not Ready)",
		}},
		"a worker without enough memory": {Default(), withGroups(Group{Name: "worker", Memory: "4Gi"}), func(o *Observed) { o.Ready["worker-2"] = false }, []string{
			"stop worker-2 (2048 → 4096 MiB of memory)", "start worker-2 (2048 → 4096 MiB of memory)", "boot worker-2", "serve (nodes change)", "join worker-2", "wait worker-2 (not Ready)",
			"drain worker-1 (2048 → 4096 MiB of memory)", "restart worker-1 (2048 → 4096 MiB of memory)", "uncordon worker-1",
		}},
		"larger disks": {Default(), withGroups(Group{Name: "worker", Disk: "40Gi"}), nil, []string{
			"grow worker-1 (20480 → 40960 MiB of disk)", "grow worker-2 (20480 → 40960 MiB of disk)",
		}},
		"no workers any more": {Default(), with(func(s *Spec) { s.Workers = 0 }), nil, []string{
			"serve (nodes change)", "label control-plane-1 (labels or taints differ)",
			"drain worker-2 (no longer part of the cluster)", "delete worker-2 (no longer part of the cluster)",
			"drain worker-1 (no longer part of the cluster)", "delete worker-1 (no longer part of the cluster)",
		}},
		"the first worker": {with(func(s *Spec) { s.Workers = 0 }), with(func(s *Spec) { s.Workers = 1 }), nil, []string{
			"create worker-1 (new)", "start worker-1 (absent)", "boot worker-1", "serve (nodes change)", "join worker-1", "wait worker-1 (not Ready)", "label control-plane-1 (labels or taints differ)",
		}},
		"one is removed": {Default(), with(func(s *Spec) { s.Workers = 1 }), func(o *Observed) { known(o, "worker-1").Removing = true }, []string{
			"serve (nodes change)", "drain worker-1 (no longer part of the cluster)", "delete worker-1 (no longer part of the cluster)",
		}},
		"one is replaced": {Default(), Default(), func(o *Observed) { known(o, "worker-1").Replacing = true }, []string{
			"serve (nodes change)", "drain worker-1 (replaced)", "replace worker-1 (replaced)",
		}},
		"one that does not answer is replaced": {Default(), Default(), func(o *Observed) {
			known(o, "worker-1").Replacing = true
			delete(o.Ready, "worker-1")
		}, []string{"serve (nodes change)", "replace worker-1 (replaced)"}},
		"one that is stopped is replaced": {Default(), Default(), func(o *Observed) {
			known(o, "worker-1").Replacing = true
			o.Machines["worker-1"], o.Ready["worker-1"] = machine.StateStopped, false
		}, []string{"serve (nodes change)", "replace worker-1 (replaced)"}},
		"one that is gone already is replaced": {Default(), Default(), func(o *Observed) {
			known(o, "worker-1").Replacing = true
			o.Machines["worker-1"] = machine.StateAbsent
			delete(o.Ready, "worker-1")
		}, []string{"create worker-1 (new)", "start worker-1 (absent)", "boot worker-1", "serve (nodes change)", "join worker-1", "wait worker-1 (not Ready)"}},
		"a control plane is replaced": {with(func(s *Spec) { s.ControlPlanes, s.Workers = 3, 0 }), with(func(s *Spec) { s.ControlPlanes, s.Workers = 3, 0 }), func(o *Observed) { known(o, "control-plane-1").Replacing = true }, []string{
			"serve (nodes change)", "drain control-plane-1 (replaced)", "leave control-plane-1 (replaced)", "replace control-plane-1 (replaced)",
		}},
		"a restart was interrupted": {Default(), Default(), func(o *Observed) { known(o, "worker-1").Cordoned = true }, []string{
			"serve (nodes change)", "uncordon worker-1 (was drained)",
		}},
		"a paused cluster gets more memory": {with(func(s *Spec) { s.Workers = 0 }), with(func(s *Spec) { s.Workers, s.Memory = 0, "4Gi" }), func(o *Observed) {
			o.Machines["control-plane-1"], o.APIReady, o.Ready = machine.StatePaused, false, nil
		}, []string{
			"resume control-plane-1 (paused)", "serve (API not ready)", "join control-plane-1", "wait control-plane-1 (not Ready)", "restart control-plane-1 (2048 → 4096 MiB of memory)",
		}},
		"other settings of a group's kubelets": {withGroups(gpu), withGroups(Group{Name: "gpu", Count: 1, Labels: gpu.Labels, Taints: gpu.Taints, Kubelet: map[string]any{"maxPods": 50.0}}), nil, []string{
			"configure (the settings of Kubernetes changed)",
		}},
		"a new group with settings of kubelets": {Default(), withGroups(Group{Name: "gpu", Count: 1, Kubelet: map[string]any{"maxPods": 50.0}}), nil, []string{
			"create gpu-1 (new)", "start gpu-1 (absent)", "boot gpu-1", "serve (nodes change)", "join gpu-1", "wait gpu-1 (not Ready)",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			o := settled(test.before)
			if test.change != nil {
				test.change(&o)
			}
			if got := lines(Plan(test.after, o)); !slices.Equal(got, test.want) {
				t.Errorf("plan\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
		})
	}
}

func TestNodesAreRestartedOneAfterAnotherAndControlPlanesFirst(t *testing.T) {
	before := with(func(s *Spec) { s.ControlPlanes = 3 })
	after := before
	after.Memory, after.Workers = "3Gi", 1
	order := map[string][]string{}
	for _, step := range Plan(after, settled(before)) {
		order[step.ID()] = step.After
	}
	for id, want := range map[string][]string{
		"drain control-plane-1":    {"serve"},
		"restart control-plane-1":  {"serve", "drain control-plane-1"},
		"uncordon control-plane-1": {"restart control-plane-1"},
		"drain control-plane-2":    {"serve", "uncordon control-plane-1"},
		"drain worker-1":           {"serve", "uncordon control-plane-3"},
		"drain worker-2":           {"serve", "uncordon worker-1"},
	} {
		if got := order[id]; !slices.Equal(got, want) {
			t.Errorf("%s comes after %v, want %v", id, got, want)
		}
	}
}

// FuzzPlan checks that every plan can be executed: its steps are unique and come
// after steps that precede them.
func FuzzPlan(f *testing.F) {
	f.Add(uint64(0), uint64(0), uint8(0), uint8(2), true)
	f.Add(uint64(0x1234567), uint64(0x5a9f), uint8(1), uint8(3), false)
	f.Add(uint64(0x200000aaaaaaaaa0), uint64(0x5a9f), uint8(1), uint8(3), true)
	states := []machine.State{"", machine.StateAbsent, machine.StateStopped, machine.StateRunning, machine.StatePaused, machine.StateSaved}
	f.Fuzz(func(t *testing.T, bits, more uint64, planes, workers uint8, api bool) {
		spec := Default()
		spec.ControlPlanes, spec.Workers = 1+2*int(planes%2), int(workers%4)
		if bits>>60&1 == 1 {
			spec.Kubernetes.FeatureGates = map[string]bool{"ContextualLogging": false}
		}
		o := Observed{Prepared: bits&1 == 0, Open: bits&2 == 0, Machines: map[string]machine.State{}, Ready: map[string]bool{}, APIReady: api}
		o.Known, o.Sizes = remembered("control-plane-1", "control-plane-2", "control-plane-3", "worker-1", "worker-2", "worker-3", "worker-4"), map[string]Size{}
		for i := range o.Known {
			m := &o.Known[i]
			m.Removing, m.Replacing, m.Cordoned = more>>(4*i)&3 == 1, more>>(4*i)&3 == 2, more>>(4*i+2)&1 == 1
			if more>>(4*i+3)&1 == 1 {
				m.DiskMiB, o.Sizes[m.Name] = 10<<10, Size{CPUs: 1 + i%2, MemoryMiB: 2048}
			}
		}
		if bits>>61&1 == 1 {
			o.Upgrade = &Upgrade{From: image35, To: image36, Saved: bits>>62&1 == 1}
			for i := range o.Known {
				o.Known[i].Image = []Image{{}, image35, image36, patched35}[more>>(4*i+2)&3]
			}
		}
		for i, name := range []string{"control-plane-1", "control-plane-2", "control-plane-3", "worker-1", "worker-2", "worker-3", "worker-4"} {
			if state := states[bits>>(4+3*i)%uint64(len(states))]; state != "" {
				o.Machines[name] = state
			}
			if bits>>(40+i)&1 == 1 {
				o.Ready[name] = bits>>(50+i)&1 == 1
			}
		}
		for kind, plan := range map[string][]Step{"plan": Plan(spec, o), "resume": ResumePlan(spec, o)} {
			seen := map[string]bool{}
			for _, step := range plan {
				if seen[step.ID()] {
					t.Errorf("%s: %s is there twice", kind, step)
				}
				for _, id := range step.After {
					if !seen[id] {
						t.Errorf("%s: %s comes after %s, which does not precede it; have %v", kind, step, id, slices.Sorted(maps.Keys(seen)))
					}
				}
				seen[step.ID()] = true
			}
		}
	})
}
