package network

import (
	"context"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/knftables"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

var (
	subnet = netip.MustParsePrefix("192.168.104.0/24")
	pods   = netip.MustParsePrefix("10.244.0.0/16")
)

func TestClusterRangesIgnoresAddressesOutsideItsNetworks(t *testing.T) {
	nodes := []*corev1.Node{
		node("good", "192.168.104.21", "10.244.1.0/24"),
		node("waiting", "192.168.104.22", ""),
		node("foreign", "8.8.8.8", "10.244.2.0/24"),
		node("greedy", "192.168.104.23", "0.0.0.0/0"),
		node("all of it", "192.168.104.24", "10.244.0.0/16"),
		node("nonsense", "not an address", "10.244.3.0/24"),
	}
	got := clusterRanges(nodes, nodeconfig.Node{
		Network: nodeconfig.Network{Address: subnet}, Kubernetes: nodeconfig.Kubernetes{PodCIDR: pods},
	})
	want := map[string]place{
		"good":      {address: netip.MustParseAddr("192.168.104.21"), pods: netip.MustParsePrefix("10.244.1.0/24")},
		"waiting":   {address: netip.MustParseAddr("192.168.104.22")},
		"greedy":    {address: netip.MustParseAddr("192.168.104.23")},
		"all of it": {address: netip.MustParseAddr("192.168.104.24")},
	}
	if len(got) != len(want) {
		t.Errorf("got %v", got)
	}
	for name, place := range want {
		if got[name] != place {
			t.Errorf("%s: got %v, want %v", name, got[name], place)
		}
	}
}

func TestDesiredRoutesLeadOnlyToOtherNodes(t *testing.T) {
	ranges := map[string]place{
		"worker-1": {address: netip.MustParseAddr("192.168.104.21"), pods: netip.MustParsePrefix("10.244.1.0/24")},
		"worker-2": {address: netip.MustParseAddr("192.168.104.22"), pods: netip.MustParsePrefix("10.244.2.0/24")},
		"worker-3": {address: netip.MustParseAddr("192.168.104.23")},
	}
	want := []route{
		{to: pods},
		{to: netip.MustParsePrefix("10.244.2.0/24"), via: netip.MustParseAddr("192.168.104.22")},
	}
	if got := desiredRoutes(ranges, "worker-1", pods); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestPlanRoutes(t *testing.T) {
	a := route{to: netip.MustParsePrefix("10.244.1.0/24"), via: netip.MustParseAddr("192.168.104.21")}
	moved := route{to: a.to, via: netip.MustParseAddr("192.168.104.29")}
	b := route{to: netip.MustParsePrefix("10.244.2.0/24"), via: netip.MustParseAddr("192.168.104.22")}
	refused := route{to: pods}
	for _, test := range []struct {
		name                          string
		want, actual, replace, remove []route
	}{
		{name: "from nothing", want: []route{refused, a}, replace: []route{refused, a}},
		{name: "nothing to do", want: []route{refused, a}, actual: []route{a, refused}},
		{name: "a node is gone", want: []route{a}, actual: []route{a, b}, remove: []route{b}},
		{name: "a range moved to another node", want: []route{moved}, actual: []route{a}, replace: []route{moved}},
		{name: "all are gone", actual: []route{a, b}, remove: []route{a, b}},
	} {
		t.Run(test.name, func(t *testing.T) {
			replace, remove := difference(test.want, test.actual, route.key)
			if !slices.Equal(replace, test.replace) || !slices.Equal(remove, test.remove) {
				t.Errorf("replace %v, remove %v; want %v, %v", replace, remove, test.replace, test.remove)
			}
		})
	}
}

func TestMasqueradeRulesExemptPodsAndNodes(t *testing.T) {
	fake := knftables.NewFake(knftables.IPv4Family, tableName)
	for range 2 { // the second pass must replace the first, not add to it
		tx := fake.NewTransaction()
		masqueradeRules(tx, pods, []netip.Addr{netip.MustParseAddr("192.168.104.21")})
		if err := fake.Run(context.Background(), tx); err != nil {
			t.Fatal(err)
		}
	}
	want := strings.TrimSpace(`
add table ip skiff-network { comment "pods that leave the cluster" ; }
add chain ip skiff-network postrouting { type nat hook postrouting priority 100 ; }
add set ip skiff-network nodes { type ipv4_addr ; }
add rule ip skiff-network postrouting ip saddr != 10.244.0.0/16 return
add rule ip skiff-network postrouting ip daddr 10.244.0.0/16 return
add rule ip skiff-network postrouting ip daddr @nodes return
add rule ip skiff-network postrouting ip daddr 224.0.0.0/4 return
add rule ip skiff-network postrouting masquerade
add element ip skiff-network nodes { 192.168.104.21 }
`)
	if got := strings.TrimSpace(fake.Dump()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestNodeAddressesExcludeTheGateway(t *testing.T) {
	document := nodeconfig.Node{Network: nodeconfig.Network{
		Address: netip.MustParsePrefix("192.168.104.21/24"),
		Gateway: netip.MustParseAddr("192.168.104.2"),
		Hosts: []nodeconfig.Peer{
			{Name: "control-plane-1", Address: netip.MustParseAddr("192.168.104.11")},
			{Name: "worker-1", Address: netip.MustParseAddr("192.168.104.21")},
			{Name: "host", Address: netip.MustParseAddr("192.168.104.2")},
		},
	}}
	ranges := map[string]place{"worker-9": {address: netip.MustParseAddr("192.168.104.29")}}
	want := []netip.Addr{
		netip.MustParseAddr("192.168.104.11"), netip.MustParseAddr("192.168.104.21"), netip.MustParseAddr("192.168.104.29"),
	}
	if got := nodeAddresses(document, ranges); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestConflistHasTheRangeAndTheMTU(t *testing.T) {
	content, err := conflist(nodeconfig.Node{Network: nodeconfig.Network{MTU: 1400}}, place{pods: netip.MustParsePrefix("10.244.1.0/24")})
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		Name    string
		Plugins []struct {
			Type, Backend string
			MTU           int
			IPAM          struct {
				Ranges [][]struct{ Subnet string }
			}
		}
	}
	if err := json.Unmarshal(content, &list); err != nil {
		t.Fatal(err)
	}
	ptp, portmap := list.Plugins[0], list.Plugins[1]
	if ptp.Type != "ptp" || ptp.MTU != 1400 || ptp.IPAM.Ranges[0][0].Subnet != "10.244.1.0/24" {
		t.Errorf("first plugin %+v", ptp)
	}
	if portmap.Type != "portmap" || portmap.Backend != "nftables" {
		t.Errorf("second plugin %+v", portmap)
	}
}

func TestWriteIfChangedDoesNotRewriteTheSameContent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "net.d", conflistName)
	if err := writeIfChanged(path, []byte("one")); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := writeIfChanged(path, []byte("one")); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(path); err != nil || !os.SameFile(before, after) {
		t.Errorf("the file was written again: %v", err)
	}
	if err := writeIfChanged(path, []byte("two")); err != nil {
		t.Fatal(err)
	}
	if content, err := os.ReadFile(path); err != nil || string(content) != "two" {
		t.Errorf("got %q, %v", content, err)
	}
}

func node(name, address, podCIDR string) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.NodeSpec{PodCIDR: podCIDR},
		Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{
			{Type: corev1.NodeHostName, Address: name},
			{Type: corev1.NodeInternalIP, Address: address},
		}},
	}
}
