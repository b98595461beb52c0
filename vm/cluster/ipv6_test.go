package cluster

import (
	"net/netip"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

func TestOnlyADualClusterHasIPv6(t *testing.T) {
	dual := with(func(s *Spec) { s.Network.IPFamily = FamilyDual })
	if got := Nodes(dual, nil)[2].Address6; got != prefix("fd73:6b69:6666::c0a8:6816/64") {
		t.Errorf("worker-2 has %v", got)
	}
	for _, spec := range []Spec{Default(), dual} {
		want := spec.Network.IPFamily == FamilyDual
		document := Document(State{Spec: spec}, Nodes(spec, nil)[0], nil, time.Now())
		if document.Dual() != want || document.Kubernetes.PodCIDR6.IsValid() != want || document.Kubernetes.ServiceCIDR6.IsValid() != want {
			t.Errorf("%s: %+v, %+v", spec.Network.IPFamily, document.Network, document.Kubernetes)
		}
		if got := Nodes(spec, nil)[0].Address6.IsValid(); got != want {
			t.Errorf("%s: nodes with IPv6: %t", spec.Network.IPFamily, got)
		}
	}
}

func TestStateWithoutAnIPFamilyIsIPv4(t *testing.T) {
	state, err := ParseState([]byte(`{"version":2,"nodes":[],"image":"","kubernetes":"","created":"2026-01-01T00:00:00Z","spec":{"name":"dev","controlPlanes":1,"workers":2,"cpus":2,"memory":"2Gi","disk":"20Gi","driver":"lima","network":{"nodes":"192.168.104.0/24","pods":"10.244.0.0/16","services":"10.96.0.0/16","domain":"cluster.local"}}}`))
	if err != nil || state.Spec.Network.IPFamily != FamilyIPv4 {
		t.Errorf("got %q, %v", state.Spec.Network.IPFamily, err)
	}
}

func TestIPv6OfTheClusterNeedsNoProxy(t *testing.T) {
	spec := proxied(Proxy{HTTP: "proxy.corp:3128"}, nodeconfig.Proxy{})
	spec.Network.IPFamily = FamilyDual
	want := always + ",fd73:6b69:6666::/64,fd73:6b69:6666:100::/56,fd73:6b69:6666:200::/112"
	if got := NodeProxy(spec, netip.Addr{}).No; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
