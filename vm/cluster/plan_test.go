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

// FuzzPlan checks that every plan can be executed: its steps are unique and come
// after steps that precede them.
func FuzzPlan(f *testing.F) {
	f.Add(uint64(0), uint8(0), uint8(2), true)
	f.Add(uint64(0x1234567), uint8(1), uint8(3), false)
	states := []machine.State{"", machine.StateAbsent, machine.StateStopped, machine.StateRunning, machine.StatePaused}
	f.Fuzz(func(t *testing.T, bits uint64, planes, workers uint8, api bool) {
		spec := Default()
		spec.ControlPlanes, spec.Workers = 1+2*int(planes%2), int(workers%4)
		if bits>>60&1 == 1 {
			spec.Kubernetes.FeatureGates = map[string]bool{"ContextualLogging": false}
		}
		o := Observed{Prepared: bits&1 == 0, Open: bits&2 == 0, Machines: map[string]machine.State{}, Ready: map[string]bool{}, APIReady: api}
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
