package boot

import (
	"net/netip"
	"testing"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

func TestARunningNodeStaysWhatItIsOnTheNetwork(t *testing.T) {
	node := nodeconfig.Node{
		Cluster: "dev", Name: "worker-1", Role: nodeconfig.RoleWorker,
		Network: nodeconfig.Network{MAC: "52:55:55:00:00:01", Address: netip.MustParsePrefix("192.168.104.11/24"), Gateway: netip.MustParseAddr("192.168.104.2")},
	}
	for name, test := range map[string]struct {
		change func(*nodeconfig.Node)
		can    bool
	}{
		"another cluster": {func(n *nodeconfig.Node) { n.Cluster = "copy" }, true},
		"another name":    {func(n *nodeconfig.Node) { n.Name = "worker-2" }, false},
		"another role":    {func(n *nodeconfig.Node) { n.Role = nodeconfig.RoleControlPlane }, false},
		"another address": {func(n *nodeconfig.Node) { n.Network.Address = netip.MustParsePrefix("192.168.104.12/24") }, false},
		"another link":    {func(n *nodeconfig.Node) { n.Network.MAC = "52:55:55:00:00:02" }, false},
		"another gateway": {func(n *nodeconfig.Node) { n.Network.Gateway = netip.MustParseAddr("192.168.104.3") }, false},
	} {
		other := node
		test.change(&other)
		if err := sameNode(node, other); (err == nil) != test.can {
			t.Errorf("%s: %v", name, err)
		}
	}
	if machineID("dev", "worker-1") == machineID("copy", "worker-1") {
		t.Error("nodes of two clusters have the same ID")
	}
}

func TestPullsGoThroughTheHostsRegistry(t *testing.T) {
	const mirror = "[host.\"http://192.168.104.2:5001\"]\n  capabilities = [\"pull\", \"resolve\"]\n  dial_timeout = \"3s\"\n"
	for authorities, want := range map[string]string{
		"":           mirror,
		"/etc/a.pem": "ca = \"/etc/a.pem\"\n\n" + mirror, // for the registry that is not named
	} {
		if got := registryHosts(netip.MustParseAddr("192.168.104.2"), authorities); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
}
