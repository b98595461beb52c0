package cluster

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/images/manifest"
	"github.com/skiff-dev/skiff/vm/machine"
)

func imageFor(release string) Image {
	return Image{Digest: "sha256:" + strings.Repeat(release[3:5], 32), Kubernetes: release}
}

var (
	image35, image36 = imageFor("v1.35.8"), imageFor("v1.36.3")
	patched35        = Image{Digest: "sha256:" + strings.Repeat("ab", 32), Kubernetes: "v1.35.8"}
)

// upgradable returns a cluster of 1.35 in which nothing is left to do.
func upgradable(planes, workers int) (State, Observed) {
	spec := with(func(s *Spec) {
		s.Name, s.ControlPlanes, s.Workers, s.KubernetesVersion = "demo", planes, workers, "1.35"
	})
	o := settled(spec)
	return State{Spec: spec, Machines: o.Known, Image: image35.Digest, Kubernetes: image35.Kubernetes, Formed: true}, o
}

func TestVersionSkewPolicy(t *testing.T) {
	for _, test := range []struct{ from, to, want string }{
		{"v1.35.8", "1.35", ""},
		{"v1.35.8", "1.36", ""},
		{"v1.99.0", "1.100", ""},
		{"v1.35.8", "1.37", "must not skip a minor version: run \"skiff upgrade demo --kubernetes 1.36\", then \"skiff upgrade demo --kubernetes 1.37\""},
		{"v1.35.8", "1.38", "1.36\", then \"skiff upgrade demo --kubernetes 1.37\", then \"skiff upgrade demo --kubernetes 1.38\""},
		{"v1.36.3", "1.35", "cannot go back from Kubernetes 1.36 to 1.35, because an older control plane may not understand what the newer one has stored: create another cluster with \"skiff up demo-1-35 --kubernetes 1.35\""},
		{"v1.100.0", "1.99", "cannot go back"},
		{"v1.36.3", "1.36.3", "invalid version"},
		{"v1.36.3", "v1.36", "invalid version"},
		{"v1.36.3", "2.0", "invalid version"},
		{"v1.36.3", "../1.36", "invalid version"},
		{"v1.36.3", "1.9999999", "invalid version"},
	} {
		err := CheckUpgrade(State{Spec: Spec{Name: "demo"}}, imageFor(test.from), test.to)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s to %s: %v, want %q", test.from, test.to, err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("more than one line: %v", err)
		}
	}
}

func TestAnUpgradeIsFinishedBeforeTheNextBegins(t *testing.T) {
	state, _ := upgradable(1, 2)
	state.BeginUpgrade(image35, image36)
	state.Upgraded("control-plane-1")
	state.UpgradeFailed("no luck")
	if err := CheckUpgrade(state, image35, "1.37"); err == nil || !strings.Contains(err.Error(), "from Kubernetes v1.35.8 to v1.36.3 is not finished: run \"skiff upgrade demo --kubernetes 1.36\" first") {
		t.Errorf("%v", err)
	}
	if err := CheckUpgrade(state, image35, "1.36"); err != nil {
		t.Errorf("it cannot be continued: %v", err)
	}
}

func TestTheNextVersionIsTheOneToUpgradeTo(t *testing.T) {
	for version, want := range map[string]string{"1.36": "1.37", "1.9": "1.10", "": "", "1.36.3": "", "2.0": ""} {
		if got := NextVersion(version); got != want {
			t.Errorf("%q: %q, want %q", version, got, want)
		}
	}
}

func TestUpSaysHowTheVersionChanges(t *testing.T) {
	state, _ := upgradable(1, 2)
	for version, want := range map[string]string{
		"1.36": "kubernetes.version cannot change from 1.35 to 1.36 with \"skiff up\": run \"skiff upgrade demo --kubernetes 1.36\"",
		"1.37": "then \"skiff upgrade demo --kubernetes 1.37\"",
		"1.34": "cannot go back",
		"1.35": "", "": "",
	} {
		wanted := state.Spec
		wanted.KubernetesVersion = version
		faults := Changes(state, wanted)
		if want == "" && len(faults) > 0 || want != "" && (len(faults) != 1 || !strings.Contains(faults[0].Error(), want)) {
			t.Errorf("%q: %v, want %q", version, faults, want)
		}
	}
}

func TestPlanOfAnUpgrade(t *testing.T) {
	const change = "(Kubernetes v1.35.8 → v1.36.3)"
	for name, test := range map[string]struct {
		planes, workers int
		to              Image
		change          func(*State, *Observed)
		want, notes     []string
	}{
		"nothing to do": {1, 1, image35, nil, nil, nil},
		"the next minor version": {1, 2, image36, nil, []string{
			"serve (nodes change)", "snapshot (before Kubernetes v1.35.8 → v1.36.3)",
			"drain control-plane-1 " + change, "restart control-plane-1 " + change, "uncordon control-plane-1",
			"drain worker-1 " + change, "restart worker-1 " + change, "uncordon worker-1",
			"drain worker-2 " + change, "restart worker-2 " + change, "uncordon worker-2",
		}, []string{"The Kubernetes API does not answer while control-plane-1, the only control plane, restarts; pods keep running."}},
		"another image of the same release": {3, 0, patched35, nil, []string{
			"serve (nodes change)", "snapshot (before node image 353535353535 → abababababab)",
			"drain control-plane-1 (node image 353535353535 → abababababab)", "restart control-plane-1 (node image 353535353535 → abababababab)", "uncordon control-plane-1",
			"drain control-plane-2 (node image 353535353535 → abababababab)", "restart control-plane-2 (node image 353535353535 → abababababab)", "uncordon control-plane-2",
			"drain control-plane-3 (node image 353535353535 → abababababab)", "restart control-plane-3 (node image 353535353535 → abababababab)", "uncordon control-plane-3",
		}, nil},
		"the only node": {
			1, 0, image36, nil, []string{"serve (nodes change)", "snapshot (before Kubernetes v1.35.8 → v1.36.3)", "restart control-plane-1 " + change},
			[]string{"The cluster has one node: its pods and the Kubernetes API stop while it restarts."},
		},
		"it was interrupted": {1, 2, image36, func(s *State, o *Observed) {
			s.BeginUpgrade(image35, image36)
			s.Upgrade.Saved = true
			s.Upgraded("control-plane-1")
			s.Machines[1].Cordoned = true
		}, []string{
			"serve (nodes change)", "drain worker-1 " + change, "restart worker-1 " + change, "uncordon worker-1",
			"drain worker-2 " + change, "restart worker-2 " + change, "uncordon worker-2",
		}, nil},
		"its daemon was killed": {1, 1, image36, func(s *State, o *Observed) {
			s.BeginUpgrade(image35, image36)
			s.Upgrade.Saved = true
			s.Upgraded("control-plane-1")
			for name := range o.Machines {
				o.Machines[name] = machine.StateStopped
			}
			o.APIReady, o.Ready, o.Sizes = false, nil, nil
		}, []string{
			"start control-plane-1 (stopped)", "start worker-1 (stopped)", "boot control-plane-1", "boot worker-1", "serve (API not ready)",
			"join control-plane-1", "join worker-1", "wait control-plane-1 (not Ready)", "wait worker-1 (not Ready)",
			"drain worker-1 " + change, "restart worker-1 " + change, "uncordon worker-1",
		}, nil},
		"a node with a repaired image": {1, 1, patched35, func(s *State, _ *Observed) {
			s.BeginUpgrade(image35, Image{Digest: "sha256:broken", Kubernetes: "v1.35.8"})
			s.Upgrade.Saved = true
			s.Upgraded("control-plane-1")
			s.UpgradeFailed("worker-1 did not come back")
		}, []string{
			"serve (nodes change)",
			"drain control-plane-1 (node image broken → abababababab)", "restart control-plane-1 (node image broken → abababababab)", "uncordon control-plane-1",
			"drain worker-1 (node image 353535353535 → abababababab)", "restart worker-1 (node image 353535353535 → abababababab)", "uncordon worker-1",
		}, []string{"The Kubernetes API does not answer while control-plane-1, the only control plane, restarts; pods keep running."}},
	} {
		t.Run(name, func(t *testing.T) {
			state, o := upgradable(test.planes, test.workers)
			if test.change != nil {
				test.change(&state, &o)
			}
			before := state
			plan := PlanUpgrade(state, o, image35, test.to)
			if got := lines(plan.Steps); !slices.Equal(got, test.want) || !slices.Equal(plan.Notes, test.notes) {
				t.Errorf("plan\n%s\nwant\n%s\nnotes %q", strings.Join(got, "\n"), strings.Join(test.want, "\n"), plan.Notes)
			}
			if before.Upgrade != state.Upgrade || plan.From != image35 || plan.To != test.to {
				t.Errorf("from %v to %v, and the state has %+v", plan.From, plan.To, state.Upgrade)
			}
		})
	}
}

// TestAPlanKeepsTheVersionSkew follows a plan step by step: no kubelet is ever newer than an
// API server, and no two control planes are more than one version apart.
func TestAPlanKeepsTheVersionSkew(t *testing.T) {
	state, o := upgradable(3, 3)
	state.BeginUpgrade(image35, image36)
	o.Upgrade, o.Known = state.Upgrade, state.Machines
	for _, step := range Plan(state.Spec, o) {
		if step.Action != ActionRestart {
			continue
		}
		state.Upgraded(step.Node)
		oldest, newest := 1000, 0
		for _, n := range state.Desired() {
			version := minorNumber(manifest.Minor(state.ImageOf(n.Name, image35).Kubernetes))
			if IsControlPlane(n.Name) {
				oldest = min(oldest, version)
			} else {
				newest = max(newest, version)
			}
		}
		if newest > oldest {
			t.Errorf("after %s: a kubelet of 1.%d and an API server of 1.%d", step, newest, oldest)
		}
	}
	if state.Upgrade != nil || state.Image != image36.Digest || state.Spec.KubernetesVersion != "1.36" {
		t.Errorf("the upgrade did not end: %+v", state)
	}
}

func TestANodeThatFailsEndsTheUpgrade(t *testing.T) {
	state, _ := upgradable(1, 2)
	state.BeginUpgrade(image35, image36)
	first, second := state, state
	first.UpgradeFailed("control-plane-1 did not come back")
	if first.Upgrade != nil || first.Image != image35.Digest || first.Spec.KubernetesVersion != "1.35" || first.Machines[0].Image != (Image{}) {
		t.Errorf("no node has the new image, but the state is %+v", first)
	}
	second.Upgraded("control-plane-1")
	second.UpgradeFailed("worker-1 did not come back")
	if u := second.Upgrade; u == nil || u.Active() || second.Spec.KubernetesVersion != "1.36" {
		t.Errorf("a node has the new image, but the state is %+v", second)
	}
	if _, ok := second.UpgradeTarget("worker-1"); ok {
		t.Error("a plan would go on with what has failed")
	}
	if got := second.ImageOf("control-plane-1", image35); got != image36 {
		t.Errorf("the control plane would start with %v", got)
	}
	if got := second.ImageOf("worker-1", image35); got != image35 {
		t.Errorf("the worker would start with %v", got)
	}
	if state.Upgrade == nil || state.Upgrade.Failed != "" {
		t.Error("copies of the state share the upgrade")
	}
}

func TestAnAddedNodeIsNeverNewerThanTheControlPlanes(t *testing.T) {
	state, _ := upgradable(3, 1)
	state.BeginUpgrade(image35, image36)
	state.Spec.Workers = 2
	state.Want(state.Spec)
	for i, want := range []Image{image35, image35, image36} {
		state.Upgraded([]string{"control-plane-1", "control-plane-2", "control-plane-3"}[i])
		fresh := state
		fresh.Renew(fresh.Desired()[4])
		if m, _ := fresh.Machine("worker-2"); m.Image != want || state.ImageOf("worker-2", image35) != want {
			t.Errorf("with %d new control planes it gets %v, want %v", i+1, m.Image, want)
		}
	}
}

func TestAnUnsettledClusterIsNotUpgraded(t *testing.T) {
	state, o := upgradable(1, 2)
	if err := CheckSettled(state, o); err != nil {
		t.Error(err)
	}
	o.Ready = maps.Clone(o.Ready)
	o.Ready["worker-2"] = false
	if err := CheckSettled(state, o); err == nil || !strings.Contains(err.Error(), "wait worker-2 (not Ready)") {
		t.Errorf("%v", err)
	}
	state.BeginUpgrade(image35, image36)
	if err := CheckSettled(state, o); err != nil {
		t.Errorf("an upgrade that was interrupted: %v", err)
	}
}
