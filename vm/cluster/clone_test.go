package cluster

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

func TestAClone(t *testing.T) {
	spec := Default()
	spec.Name, spec.APIPort, spec.Ports, spec.Memory = "dev", 6443, []string{"8080:80/default/web"}, "3Gi"
	now := time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)
	then := State{Version: StateVersion, Created: now, Formed: true, Image: "sha256:1", Kubernetes: "v1.36.3"}
	then.Want(spec)

	own := then.CloneSpec("copy")
	if own.Name != "copy" || own.APIPort != 0 || own.Ports != nil || own.Memory != "3Gi" {
		t.Errorf("%+v", own)
	}
	if faults := CheckClone(then, own); len(faults) > 0 {
		t.Errorf("faults %v", faults)
	}
	own.APIPort, own.NodePorts, own.Pause.Idle = 7443, true, "15m"
	if faults := CheckClone(then, own); len(faults) > 0 {
		t.Errorf("faults %v", faults)
	}
	for want, change := range map[string]func(*Spec){
		"driver: sandbox contradicts the snapshot, which has lima":                func(s *Spec) { s.Driver = "sandbox" },
		"controlPlanes: 3 contradicts the snapshot, which has 1":                  func(s *Spec) { s.ControlPlanes = 3 },
		"workers: 0 contradicts the snapshot, which has 2":                        func(s *Spec) { s.Workers = 0 },
		"memory: 2Gi contradicts the snapshot, which has 3Gi":                     func(s *Spec) { s.Memory = "2Gi" },
		"network contradicts the snapshot, whose nodes and networks a clone gets": func(s *Spec) { s.Network.Egress = EgressNone },
		"nodes contradicts the snapshot, whose nodes and networks a clone gets":   func(s *Spec) { s.Nodes = []Group{{Name: "big", Count: 1}} },
	} {
		other := own
		change(&other)
		if faults := CheckClone(then, other); fmt.Sprint(faults) != "["+want+"]" {
			t.Errorf("%v, want %q", faults, want)
		}
	}

	clone := then.Clone(own, Origin{Cluster: "dev", Snapshot: "before", Taken: now}, now.Add(time.Hour))
	if !clone.Adopting() || clone.Origin.String() != "dev/before" || !clone.Formed || clone.Spec.Name != "copy" || !clone.Created.Equal(now.Add(time.Hour)) {
		t.Errorf("%+v", clone)
	}
	if clone.Machines[0].Cluster != "dev" || then.Machines[0].Cluster != "" {
		t.Errorf("machines %+v of %+v", clone.Machines, then.Machines)
	}
	again := clone.Clone(own, Origin{Cluster: "copy", Snapshot: "x"}, now)
	if again.Machines[0].Cluster != "dev" {
		t.Errorf("machine %+v of a clone of a clone", again.Machines[0])
	}
	again.Renew(again.Desired()[0])
	if again.Machines[0].Cluster != "dev" {
		t.Error("a machine that is made again has another ID than its Node object")
	}
	adopted := clone
	adopted.Adopt()
	if adopted.Adopting() || !clone.Adopting() {
		t.Error("adopted at the wrong time")
	}
	if clone.Shared() {
		t.Error("it shares something")
	}
	shared := then.Clone(own, Origin{Cluster: "dev", Snapshot: "before", Shared: true}, now)
	parted := shared
	parted.Part()
	if !shared.Shared() || parted.Shared() || !parted.Adopting() {
		t.Error("parted at the wrong time")
	}
	if err := clone.validate(); err != nil {
		t.Error(err)
	}
}

func TestThePlanOfAClone(t *testing.T) {
	spec := Default()
	spec.Workers = 1
	var then State
	then.Want(spec)
	var got []string
	for _, step := range PlanClone(then, Origin{Cluster: "dev", Snapshot: "before"}, spec) {
		got = append(got, step.String())
	}
	want := []string{
		"clone (from dev/before)", "prepare (new cluster)", "start control-plane-1 (stopped)", "start worker-1 (stopped)",
		"boot control-plane-1", "boot worker-1", "serve (API not ready)", "adopt (made from a snapshot)",
		"join control-plane-1", "join worker-1", "wait control-plane-1 (not Ready)", "wait worker-1 (not Ready)",
	}
	if !slices.Equal(got, want) {
		t.Errorf("plan %q", got)
	}
	got = nil
	for _, step := range PlanClone(then, Origin{Cluster: "dev", Snapshot: "before", Shared: true}, spec) {
		got = append(got, step.String())
	}
	want = slices.Concat(want[:2], []string{"resume control-plane-1 (saved)", "resume worker-1 (saved)"}, want[6:])
	if !slices.Equal(got, want) {
		t.Errorf("plan with memory %q", got)
	}
}

func TestParseOrigin(t *testing.T) {
	for text, want := range map[string]string{"dev/before": "dev/before", "dev/a.b": "dev/a.b", "dev": "", "/x": "", "dev/": "", "": ""} {
		got, err := ParseOrigin(text)
		if (err == nil) != (want != "") || err == nil && got.String() != want {
			t.Errorf("%q: %s, %v", text, got, err)
		}
	}
}
