package inventory

import (
	"net/netip"
	"testing"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

func TestNodeHasTheIPv6AddressOfItsIPv4Address(t *testing.T) {
	document := nodeconfig.Node{Network: nodeconfig.Network{
		Address: netip.MustParsePrefix("192.168.104.11/24"), Address6: netip.MustParsePrefix("fd73:6b69:6666::c0a8:680b/64"),
		Hosts: []nodeconfig.Peer{{Name: "worker-1", Address: netip.MustParseAddr("192.168.104.21")}},
	}}
	single := document
	single.Network.Address6 = netip.Prefix{}
	for _, c := range []struct {
		name, node, address string
		dual, single        bool // accepted
	}{
		{"its own", "worker-1", "fd73:6b69:6666::c0a8:6815", true, false},
		{"its IPv4 address", "worker-1", "192.168.104.21", true, true},
		{"another one", "worker-1", "fd73:6b69:6666::c0a8:6816", false, false},
		{"a known node's", "worker-9", "fd73:6b69:6666::c0a8:6815", false, false},
		{"a new node's", "worker-9", "fd73:6b69:6666::c0a8:681d", true, false},
		{"one outside", "worker-9", "2001:db8::1", false, false},
	} {
		address := netip.MustParseAddr(c.address)
		if _, err := Of(document).Check(c.node, address); (err == nil) != c.dual {
			t.Errorf("%s, both families: %v", c.name, err)
		}
		if _, err := Of(single).Check(c.node, address); (err == nil) != c.single {
			t.Errorf("%s, IPv4 only: %v", c.name, err)
		}
	}
}
