package cluster

import (
	"errors"
	"runtime"
	"strings"
	"testing"
)

// otherArch is an architecture that is not this host's.
var otherArch = map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH]

// mixed has a group of machines of another architecture.
func mixed() Spec {
	spec := Default()
	spec.Workers = 1
	spec.Nodes = []Group{{Name: "far", Count: 1, Arch: otherArch}, {Name: "near", Count: 1, Arch: runtime.GOARCH}}
	return spec
}

func TestNodesHaveTheArchitectureOfTheirGroup(t *testing.T) {
	state := State{Spec: mixed()}
	state.Machines = Remember(nil, state.Spec)
	for _, n := range state.Desired() {
		want := ""
		if n.Group == "far" {
			want = otherArch
		}
		known, _ := state.Machine(n.Name)
		if n.Arch != want || known.Arch != want {
			t.Errorf("%s: %q, recorded %q, want %q", n.Name, n.Arch, known.Arch, want)
		}
	}
	if got := ForeignArch(state.Spec); got != otherArch {
		t.Errorf("ForeignArch = %q", got)
	}
	if got := ForeignArch(Default()); got != "" {
		t.Errorf("ForeignArch without such a group = %q", got)
	}
	// The machine of a group that is gone keeps its architecture.
	state.Spec.Nodes = nil
	if n, ok := state.Find("far-1"); !ok || n.Arch != otherArch {
		t.Errorf("%+v, %v", n, ok)
	}
}

func TestAnArchitectureThatADriverCannotEmulateIsRefused(t *testing.T) {
	host := Host{CPUs: 8, MemoryMiB: 64 << 10, DiskFreeMiB: 1 << 20, Emulates: func(driver string) error {
		if driver == "sandbox" {
			return errors.New("sandboxes share the kernel")
		}
		return nil
	}}
	spec := mixed()
	if faults := Validate(spec, host, 4); len(faults) > 0 {
		t.Error(faults)
	}
	spec.Driver = "sandbox"
	faults := Validate(spec, host, 4)
	want := "nodes: group far: arch cannot be " + otherArch + " on this " + runtime.GOARCH + " host: sandboxes share the kernel"
	if len(faults) != 1 || faults[0].Error() != want {
		t.Errorf("%v, want %s", faults, want)
	}
	spec.Nodes[0].Arch = "sparc"
	faults = Validate(spec, host, 4)
	if len(faults) != 1 || faults[0].Error() != `nodes: group far: invalid arch "sparc": use amd64 or arm64` {
		t.Error(faults)
	}
}

func TestMachinesKeepTheirArchitecture(t *testing.T) {
	state := State{Spec: mixed()}
	state.Machines = Remember(nil, state.Spec)
	wanted := mixed()
	wanted.Nodes[0].Arch, wanted.Nodes[1].Arch = "", otherArch
	faults := Changes(state, wanted)
	if len(faults) != 2 || !strings.Contains(faults[0].Error(), "group far: arch cannot change while it has nodes") || !strings.Contains(faults[1].Error(), "group near") {
		t.Error(faults)
	}
	wanted.Nodes = append(wanted.Nodes[:0:0], Group{Name: "new", Count: 2, Arch: otherArch})
	if faults := Changes(state, wanted); len(faults) > 0 {
		t.Errorf("another group: %v", faults)
	}
}

func TestAnUpgradeRestartsTheNodesWhoseImageChanges(t *testing.T) {
	from := Image{Digest: "sha256:a", Foreign: "sha256:b", Kubernetes: "v1.36.3"}
	to := from
	to.Foreign = "sha256:c"
	spec := mixed()
	observed := settled(spec)
	state := State{Spec: spec, Machines: observed.Known}
	plan := PlanUpgrade(state, observed, from, to)
	var restarted []string
	for _, s := range plan.Steps {
		if s.Action == ActionRestart {
			restarted = append(restarted, s.Node)
		}
	}
	if strings.Join(restarted, " ") != "far-1" {
		t.Errorf("restarted %q: %v", restarted, plan.Steps)
	}
	state.BeginUpgrade(from, to)
	for _, name := range state.Names() {
		if target, ok := state.UpgradeTarget(name); ok != (name == "far-1") || ok && target != to {
			t.Errorf("%s: %+v, %v", name, target, ok)
		}
	}
	state.Upgraded("far-1")
	if state.Upgrade != nil || state.Image != to.Digest || state.ForeignImage != to.Foreign {
		t.Errorf("the upgrade is not over: %+v", state)
	}
}

func TestNodesOfAnotherArchitectureAreNotAddedDuringAnUpgrade(t *testing.T) {
	state := State{Spec: Default(), Upgrade: &Upgrade{From: Image{Digest: "a", Kubernetes: "v1.36.3"}, To: Image{Digest: "b", Kubernetes: "v1.37.0"}}}
	if err := CheckForeign(state, state.Spec); err != nil {
		t.Error(err)
	}
	if err := CheckForeign(state, mixed()); err == nil || !strings.Contains(err.Error(), "before the upgrade from Kubernetes v1.36.3 to v1.37.0 is finished") {
		t.Error(err)
	}
	state.Upgrade.From.Foreign, state.Upgrade.To.Foreign = "c", "d"
	if err := CheckForeign(state, mixed()); err != nil {
		t.Error(err)
	}
}
