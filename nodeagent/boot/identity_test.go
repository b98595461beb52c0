package boot

import (
	"net/netip"
	"testing"
)

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
