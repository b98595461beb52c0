package boot

import (
	"net/netip"
	"testing"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

func TestPullsGoThroughTheHostsRegistry(t *testing.T) {
	node := &nodeconfig.Node{Network: nodeconfig.Network{Gateway: netip.MustParseAddr("192.168.104.2")}}
	const want = "[host.\"http://192.168.104.2:5001\"]\n  capabilities = [\"pull\", \"resolve\"]\n  dial_timeout = \"3s\"\n"
	if got := etcFiles(node)["containerd/certs.d/_default/hosts.toml"]; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
