package cluster

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/internal/names"
)

func TestNamesOfSimulatedNodesAreRecognized(t *testing.T) {
	labels := map[string]string{names.LabelSimulated: names.ValueSimulated}
	all := SimulatedNames(maxSimulated)
	if all[0] != "simulated-0001" || all[len(all)-1] != "simulated-5000" {
		t.Errorf("names from %s to %s", all[0], all[len(all)-1])
	}
	for _, name := range all {
		if !IsSimulated(name, labels) {
			t.Fatalf("%s is not recognized", name)
		}
	}
	if IsSimulated(all[0], nil) {
		t.Error("a node without the label counts as simulated")
	}
	for _, name := range []string{"simulated-1", "simulated-0000", "simulated-00001", "simulated-0001x", "kwok-node-0", "simulated-", "worker-1"} {
		if IsSimulated(name, labels) {
			t.Errorf("%s counts as made by Skiff", name)
		}
	}
}

func TestPlanChangesTheNumberOfSimulatedNodesLast(t *testing.T) {
	for _, c := range []struct {
		wanted, observed int
		apiReady         bool
		want             string
	}{
		{500, 500, true, ""},
		{0, 0, false, ""},
		{500, 0, true, "simulate (0 → 500 simulated nodes)"},
		{0, 500, true, "simulate (500 → 0 simulated nodes)"},
		{10, 500, false, "simulate (500 → 10 simulated nodes)"},
	} {
		spec := Default()
		spec.Simulated = c.wanted
		steps := Plan(spec, Observed{APIReady: c.apiReady, Simulated: c.observed})
		var texts []string
		for _, s := range steps {
			texts = append(texts, s.String())
		}
		last := steps[len(steps)-1]
		if c.want == "" {
			if slices.ContainsFunc(steps, func(s Step) bool { return s.Action == ActionSimulate }) {
				t.Errorf("%d → %d: %v", c.observed, c.wanted, texts)
			}
			continue
		}
		if last.String() != c.want || len(last.After) != len(steps)-1 || !slices.Contains(last.After, string(ActionServe)) {
			t.Errorf("%d → %d: the last step is %s after %v", c.observed, c.wanted, last, last.After)
		}
	}
}

func TestSimulatedNodesAreLimitedAndCollideWithNothing(t *testing.T) {
	for _, c := range []struct {
		change func(*Spec)
		want   string
	}{
		{func(s *Spec) { s.Simulated = 500 }, ""},
		{func(s *Spec) { s.Simulated = -1 }, "simulated is -1: it must be between 0 and 5000"},
		{func(s *Spec) { s.Simulated = 5001 }, "simulated is 5001: it must be between 0 and 5000"},
		{func(s *Spec) { s.Nodes = []Group{{Name: "simulated", Count: 1}} }, ""},
		{func(s *Spec) { s.Simulated, s.Nodes = 1, []Group{{Name: "simulated", Count: 1}} }, "choose another name for the group"},
		{func(s *Spec) { s.Simulated, s.Network.Services = 1, netip.MustParsePrefix("240.1.16.0/20") }, "network.services 240.1.16.0/20 overlaps 240.0.0.0/12"},
	} {
		spec := Default()
		c.change(&spec)
		got := fmt.Sprint(validateSimulated(spec))
		if (c.want == "") != (got == "[]") || !strings.Contains(got, c.want) {
			t.Errorf("faults %s, want %q", got, c.want)
		}
	}
}
