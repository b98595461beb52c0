package network

import (
	"encoding/json"
	"net/netip"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// dual is the document of worker-1 in a cluster with both families.
func dual() nodeconfig.Node {
	return nodeconfig.Node{
		Name: "worker-1",
		Network: nodeconfig.Network{
			Address: netip.MustParsePrefix("192.168.104.21/24"), Address6: netip.MustParsePrefix("fd73:6b69:6666::c0a8:6815/64"),
			Gateway: netip.MustParseAddr("192.168.104.2"),
		},
		Kubernetes: nodeconfig.Kubernetes{
			PodCIDR: pods, PodCIDR6: netip.MustParsePrefix("fd73:6b69:6666:100::/56"),
			ServiceCIDR6: netip.MustParsePrefix("fd73:6b69:6666:200::/112"),
		},
	}
}

func TestIPv6RangesOfNodesAreInTheClusters(t *testing.T) {
	with := func(ranges ...string) *corev1.Node {
		n := node(ranges[0], "192.168.104.22", ranges[0])
		n.Spec.PodCIDRs = ranges
		return n
	}
	got := clusterRanges([]*corev1.Node{
		with("10.244.1.0/24", "fd73:6b69:6666:101::/64"), with("10.244.2.0/24", "2001:db8::/64"), with("10.244.3.0/24"),
	}, dual())
	for name, want := range map[string]netip.Prefix{
		"10.244.1.0/24": netip.MustParsePrefix("fd73:6b69:6666:101::/64"), "10.244.2.0/24": {}, "10.244.3.0/24": {},
	} {
		if got[name].pods6 != want {
			t.Errorf("%s: got %v, want %v", name, got[name].pods6, want)
		}
	}
}

func TestIPv6LeadsToOtherNodesAndServicesOnly(t *testing.T) {
	ranges := map[string]place{
		"worker-1": {address: netip.MustParseAddr("192.168.104.21"), pods6: netip.MustParsePrefix("fd73:6b69:6666:101::/64")},
		"worker-2": {address: netip.MustParseAddr("192.168.104.22"), pods6: netip.MustParsePrefix("fd73:6b69:6666:102::/64")},
	}
	neighbours := desiredNeighbours(dual(), nodeAddresses(dual(), ranges))
	two := netip.MustParseAddr("fd73:6b69:6666::c0a8:6816")
	if want := []neighbour{{two, [6]byte{0x52, 0x55, 192, 168, 104, 22}}}; !slices.Equal(neighbours, want) {
		t.Errorf("neighbours %v, want %v", neighbours, want)
	}
	want := []route{
		{to: netip.MustParsePrefix("fd73:6b69:6666::c0a8:6816/128"), direct: true},
		{to: netip.MustParsePrefix("fd73:6b69:6666:100::/56")},
		{to: netip.MustParsePrefix("fd73:6b69:6666:102::/64"), via: two},
		{to: netip.MustParsePrefix("fd73:6b69:6666:200::/112"), direct: true},
	}
	if got := desiredRoutes6(ranges, dual(), neighbours); !slices.Equal(got, want) {
		t.Errorf("routes %v, want %v", got, want)
	}
}

func TestPlanNeighbours(t *testing.T) {
	at := func(address string, last byte) neighbour {
		return neighbour{netip.MustParseAddr(address), [6]byte{0x52, 0x55, 0, 0, 0, last}}
	}
	a, b, moved := at("fd00::1", 1), at("fd00::2", 2), at("fd00::1", 9)
	set, remove := difference([]neighbour{a}, []neighbour{moved, b}, neighbour.key)
	if !slices.Equal(set, []neighbour{a}) || !slices.Equal(remove, []neighbour{b}) {
		t.Errorf("set %v, remove %v", set, remove)
	}
}

func TestConflistHasARangeOfEachFamily(t *testing.T) {
	content, err := conflist(dual(), place{pods: netip.MustParsePrefix("10.244.1.0/24"), pods6: netip.MustParsePrefix("fd73:6b69:6666:101::/64")})
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		Plugins []struct {
			IPAM struct {
				Ranges [][]struct{ Subnet string }
				Routes []struct{ Dst string }
			}
		}
	}
	if err := json.Unmarshal(content, &list); err != nil {
		t.Fatal(err)
	}
	ipam := list.Plugins[0].IPAM
	if len(ipam.Ranges) != 2 || ipam.Ranges[1][0].Subnet != "fd73:6b69:6666:101::/64" {
		t.Errorf("ranges %+v", ipam.Ranges)
	}
	var routes []string
	for _, r := range ipam.Routes {
		routes = append(routes, r.Dst)
	}
	want := []string{"0.0.0.0/0", "fd73:6b69:6666::/64", "fd73:6b69:6666:100::/56", "fd73:6b69:6666:200::/112"}
	if !slices.Equal(routes, want) {
		t.Errorf("routes %v, want %v", routes, want)
	}
}
