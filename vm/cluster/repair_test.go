package cluster

import (
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/vm/machine"
)

func TestRepairIsOnUnlessItIsTurnedOff(t *testing.T) {
	for text, want := range map[string][2]time.Duration{
		"": {5 * time.Minute, 15 * time.Minute}, "auto": {5 * time.Minute, 15 * time.Minute},
		"off": {}, "90s": {90 * time.Second, 90 * time.Second},
	} {
		for i, emulated := range []bool{false, true} {
			if got := RepairAfter(Spec{Repair: text}, emulated); got != want[i] {
				t.Errorf("%q, emulated %v: %s, want %s", text, emulated, got, want[i])
			}
		}
	}
}

func TestInvalidRepairIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"on": "use auto, off, or how long", "5": "use auto", "29s": "between 30s and 24h0m0s", "25h": "between 30s", "-5m": "between 30s",
	} {
		faults := validateRepair(text)
		if len(faults) != 1 || !strings.Contains(faults[0].Error(), want) {
			t.Errorf("%q: %v, want %q", text, faults, want)
		}
	}
	for _, text := range []string{"", "auto", "off", "30s", "24h"} {
		if faults := validateRepair(text); len(faults) != 0 {
			t.Errorf("%q: %v", text, faults)
		}
	}
}

func TestNodePlanConcernsOneNode(t *testing.T) {
	observed := Observed{
		Prepared: true, Open: true, APIReady: true,
		Machines: map[string]machine.State{"control-plane-1": machine.StateRunning, "worker-1": machine.StateAbsent, "worker-2": machine.StateStopped},
		Ready:    map[string]bool{"control-plane-1": true},
	}
	spec := Default()
	// A kubelet may not set this label, so that the host must for a new machine.
	spec.Nodes = []Group{{Name: "worker", Labels: map[string]string{"node-role.kubernetes.io/web": ""}}}
	for _, n := range Nodes(spec, nil) {
		observed.Known = append(observed.Known, Machine{Name: n.Name, Number: n.number(), Labels: MarksOf(spec, n.Name).Labels, Taints: MarksOf(spec, n.Name).Taints})
	}
	var steps []string
	for _, step := range NodePlan(spec, observed, "worker-1") {
		steps = append(steps, step.ID())
		for _, id := range step.After {
			if !strings.HasSuffix(id, "worker-1") {
				t.Errorf("%s is after %s", step.ID(), id)
			}
		}
	}
	if got, want := strings.Join(steps, ", "), "create worker-1, start worker-1, boot worker-1, join worker-1, wait worker-1, label worker-1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
