package tunnel

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/home"
)

// planFor returns the plan of a cluster with the default network.
func planFor(t testing.TB, name string) Plan {
	t.Helper()
	p, err := New(home.Home(t.TempDir()).Cluster(name), cluster.Default().Network)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestOverlapsWithTheHostAreRefused(t *testing.T) {
	p := planFor(t, "dev")
	route := func(to, device, alias string) Route {
		return Route{Destination: netip.MustParsePrefix(to), Device: device, Alias: alias}
	}
	for _, c := range []struct {
		name, want string
		route      Route
	}{
		{"the default route", "", route("0.0.0.0/0", "eth0", "")},
		{"another network", "", route("192.168.1.0/24", "eth0", "")},
		{"the device itself", "", route("10.96.0.0/16", p.Device, p.alias())},
		{"a smaller range", "network.nodes 192.168.104.0/24 overlaps with the route to 192.168.104.7/32 through wg0", route("192.168.104.7/32", "wg0", "")},
		{"a VPN", "network.pods 10.244.0.0/16 overlaps with the route to 10.0.0.0/8 through tun0; create the cluster with another network.pods", route("10.0.0.0/8", "tun0", "")},
		{"another cluster", `overlaps with the cluster "ci", which is connected; disconnect that first`, route("10.96.0.0/16", "skiff-01", "skiff cluster ci, cluster.local")},
	} {
		err := p.Check([]Route{route("127.0.0.0/8", "lo", ""), c.route})
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (!errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

func TestADomainBelongsToOneConnectedCluster(t *testing.T) {
	p := planFor(t, "dev")
	for alias, want := range map[string]string{
		"skiff cluster ci, cluster.local": "ci", "skiff cluster ci, ci.local": "", "somebody's cluster.local": "", p.alias(): "dev",
	} {
		if got := p.Shadowed([]Route{{Device: "skiff-01", Alias: alias}}); got != want {
			t.Errorf("%q: got %q, want %q", alias, got, want)
		}
	}
	if got := p.Shadowed([]Route{{Device: p.Device, Alias: p.alias()}}); got != "" {
		t.Errorf("the cluster shadows itself: %q", got)
	}
}

func TestTheHostReachesTheClusterAndNothingOfTheDaemon(t *testing.T) {
	reaches := Reaches(cluster.Default().Network)
	for address, want := range map[string]bool{
		"192.168.104.11": true, "192.168.104.200": true, "10.244.3.9": true, "10.96.0.10": true,
		"192.168.104.0": false, "192.168.104.2": false, "192.168.104.3": false, "192.168.104.4": false,
		"10.97.0.1": false, "127.0.0.1": false, "192.0.2.1": false, "::1": false,
	} {
		if got := reaches(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: got %v", address, got)
		}
	}
}

func TestTheDeviceFollowsFromTheDirectory(t *testing.T) {
	dir := t.TempDir()
	one := home.Home(dir).Cluster("dev")
	if err := os.MkdirAll(string(one), 0o700); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	name := Name(one)
	if len(name) > 15 || name != Name(home.Home(link).Cluster("dev")) || name == Name(home.Home(dir).Cluster("ci")) {
		t.Errorf("got %q", name)
	}
}

func TestRangesThatAreNotIPv4AreRefused(t *testing.T) {
	network := cluster.Default().Network
	network.Pods = netip.MustParsePrefix("fd00::/64")
	if _, err := New(home.Home("/tmp").Cluster("dev"), network); err == nil || !strings.Contains(err.Error(), "network.pods") {
		t.Errorf("got %v", err)
	}
}

func TestResolvedAsksClusterDNSForTheDomainOnly(t *testing.T) {
	p := planFor(t, "dev")
	dir := t.TempDir()
	program, seen := filepath.Join(dir, "resolvectl"), filepath.Join(dir, "seen")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho \"$*\" >>"+seen+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := setNames(t.Context(), p, program); err != nil {
		t.Fatal(err)
	}
	want := "default-route " + p.Device + " no\ndomain " + p.Device + " ~cluster.local\ndns " + p.Device + " 10.96.0.10\n"
	if got, err := os.ReadFile(seen); err != nil || string(got) != want {
		t.Errorf("got %q, %v", got, err)
	}
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho no bus\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := setNames(t.Context(), p, program); err == nil || !strings.Contains(err.Error(), "no bus") {
		t.Errorf("got %v", err)
	}
}
