package network

import (
	"net/netip"
	"testing"

	kubernetes "github.com/skiff-dev/skiff/internal/names"
)

func TestTheHostReachesForMachinesWhatTheyMayReach(t *testing.T) {
	for address, want := range map[string]map[Egress]bool{
		"8.8.8.8":              {EgressAll: true, EgressPublic: true, EgressNone: false},
		"10.1.2.3":             {EgressAll: true, EgressPublic: false, EgressNone: false},
		"127.0.0.1":            {EgressAll: false, EgressPublic: false, EgressNone: false},
		"::ffff:127.0.0.1":     {EgressAll: false, EgressPublic: false, EgressNone: false},
		"0.0.0.0":              {EgressAll: false, EgressPublic: false, EgressNone: false},
		"169.254.169.254":      {EgressAll: false, EgressPublic: false, EgressNone: false},
		"::1":                  {EgressAll: false, EgressPublic: false, EgressNone: false},
		"::":                   {EgressAll: false, EgressPublic: false, EgressNone: false},
		"fe80::1%eth0":         {EgressAll: false, EgressPublic: false, EgressNone: false},
		"fd00:ec2::254":        {EgressAll: false, EgressPublic: false, EgressNone: false},
		"ff02::1":              {EgressAll: false, EgressPublic: false, EgressNone: false},
		"fd12::1":              {EgressAll: true, EgressPublic: false, EgressNone: false},
		"2606:4700:4700::1111": {EgressAll: true, EgressPublic: true, EgressNone: false},
	} {
		for policy, allowed := range want {
			if got := policy.AllowsHost(netip.MustParseAddr(address)); got != allowed {
				t.Errorf("%s to %s: %v, want %v", policy, address, got, allowed)
			}
		}
	}
}

func TestMachinesSendNothingToPodsOfSimulatedNodes(t *testing.T) {
	simulated := netip.MustParsePrefix(kubernetes.SimulatedPods)
	for _, policy := range Egresses() {
		for _, address := range []netip.Addr{simulated.Addr(), simulated.Addr().Next(), netip.MustParseAddr("240.15.255.255")} {
			if !simulated.Contains(address) || policy.allows(address, netip.Prefix{}, nil) {
				t.Errorf("%s allows %s", policy, address)
			}
		}
	}
}
