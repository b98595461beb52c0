package cluster

import (
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/machine"
)

func TestPartsOfTheNetworkThatUsersReplace(t *testing.T) {
	spec := Default()
	if got := spec.Network.Without(); got != (nodeconfig.Without{}) {
		t.Errorf("by default: %+v", got)
	}
	spec.Network.CNI, spec.Network.Proxy, spec.Network.MTU = PartNone, PartNone, 1400
	document := Document(State{Spec: spec}, Nodes(spec, nil)[1], nil, time.Now())
	if got, want := document.Kubernetes.Without, (nodeconfig.Without{PodNetwork: true, Policies: true, ServiceProxy: true}); got != want || document.Network.MTU != 1400 {
		t.Errorf("%+v, MTU %d", got, document.Network.MTU)
	}
	for want, change := range map[string]func(*Spec){
		`unknown network.cni "flannel": choose one of default, none`: func(s *Spec) { s.Network.CNI = "flannel" },
		`unknown network.policy ""`:                                  func(s *Spec) { s.Network.Policy = "" },
		`unknown network.dns "kube-dns"`:                             func(s *Spec) { s.Network.DNS = "kube-dns" },
		"network.mtu is 900: it must be 0 or between 1280 and ":      func(s *Spec) { s.Network.MTU = 900 },
		"kubernetes.proxy has no effect with network.proxy none": func(s *Spec) {
			s.Network.Proxy, s.Kubernetes.Proxy = PartNone, map[string]any{"nodePortAddresses": nil}
		},
	} {
		wrong := Default()
		change(&wrong)
		if faults := validateNetwork(wrong); len(faults) != 1 || !strings.HasPrefix(faults[0].Error(), want) {
			t.Errorf("%v, want %q", faults, want)
		}
	}
	if faults := Changes(State{Spec: Default()}, spec); len(faults) != 3 {
		t.Errorf("changes that are not possible: %v", faults)
	}
}

func TestNobodyWaitsForNodesWithoutAPodNetwork(t *testing.T) {
	spec := Default()
	spec.Network.CNI = PartNone
	if got := lines(Plan(spec, Observed{})); strings.Contains(strings.Join(got, "\n"), "wait ") {
		t.Errorf("a new cluster: %q", got)
	}
	running := observedAs(machine.StateRunning, true, "control-plane-1", "worker-1", "worker-2")
	for name := range running.Ready {
		running.Ready[name] = false
	}
	if got := lines(Plan(spec, running)); len(got) > 0 {
		t.Errorf("a running one: %q", got)
	}
	delete(running.Ready, "worker-2")
	if got := lines(Plan(spec, running)); len(got) == 0 {
		t.Error("a node that has not registered is forgotten")
	}
}
