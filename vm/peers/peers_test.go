package peers

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/home"
)

// world is a user with clusters.
type world struct {
	t        *testing.T
	home     home.Home
	services map[string][]daemonapi.Service // of running clusters
	asked    int
}

func newWorld(t *testing.T) *world {
	return &world{t: t, home: home.Home(t.TempDir()), services: map[string][]daemonapi.Service{}}
}

// write writes the state of a cluster.
func (w *world) write(name string, peers ...string) {
	w.t.Helper()
	spec := cluster.Default()
	spec.Name, spec.APIPort, spec.Peers = name, 40000+len(name), peers
	dir := w.home.Cluster(name)
	if err := os.MkdirAll(string(dir), 0o700); err != nil {
		w.t.Fatal(err)
	}
	if err := cluster.WriteState(dir.State(), cluster.State{Spec: spec}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) of(name string) *Directory {
	return New(Config{Home: w.home, Cluster: name, Services: func(_ context.Context, cluster string) (daemonapi.Services, error) {
		w.asked++
		services, runs := w.services[cluster]
		if !runs {
			return daemonapi.Services{}, errors.New("not running")
		}
		return daemonapi.Services{Services: services}, nil
	}})
}

// through returns where a port of a name leads to on the host.
func through(d *Directory, name string, port uint16, tcp bool) string {
	at, ok := d.Resolve(name)
	if !ok {
		return "no such name"
	}
	return fmt.Sprint(d.Route(netip.AddrPortFrom(at, port), tcp))
}

func web(kind string) daemonapi.Service {
	return daemonapi.Service{Namespace: "shop", Name: "web", Type: kind, Ports: []daemonapi.ServicePort{
		{Protocol: "TCP", Port: 80, Host: []string{"127.0.0.1:8080", "127.1.2.3:80", "192.0.2.1:80"}},
		{Protocol: "UDP", Port: 53, Host: []string{"127.1.2.3:53"}},
	}}
}

func TestOnlyTheAPIAndLoadBalancersAreReached(t *testing.T) {
	w := newWorld(t)
	w.write("hub")
	w.write("spoke", "hub")
	other := web("NodePort")
	other.Name = "private"
	w.services["spoke"] = []daemonapi.Service{web("LoadBalancer"), other}
	d := w.of("hub")
	for _, c := range []struct {
		name string
		port uint16
		tcp  bool
		want string
	}{
		{"api.spoke.skiff.internal.", 6443, true, "[127.0.0.1:40005]"},
		{"api.spoke.skiff.internal.", 6443, false, "[]"},
		{"api.spoke.skiff.internal.", 40005, true, "[]"},
		{"api.hub.skiff.internal.", 6443, true, "[127.0.0.1:40003]"}, // its own
		{"web.shop.spoke.skiff.internal.", 80, true, "[127.0.0.1:8080 127.1.2.3:80]"},
		{"web.shop.spoke.skiff.internal.", 53, false, "[127.1.2.3:53]"},
		{"web.shop.spoke.skiff.internal.", 53, true, "[]"},
		{"web.shop.spoke.skiff.internal.", 8080, true, "[]"},
		{"private.shop.spoke.skiff.internal.", 80, true, "no such name"},
		{"web.other.spoke.skiff.internal.", 80, true, "no such name"},
		{"api.none.skiff.internal.", 6443, true, "no such name"},
		{"spoke.skiff.internal.", 6443, true, "no such name"},
		{"api.spoke.example.", 6443, true, "no such name"},
	} {
		if got := through(d, c.name, c.port, c.tcp); got != c.want {
			t.Errorf("%s port %d, tcp %v: got %s, want %s", c.name, c.port, c.tcp, got, c.want)
		}
	}
	if got := d.Route(netip.MustParseAddrPort("198.19.200.1:6443"), true); len(got) > 0 {
		t.Errorf("an address that nobody has leads to %v", got)
	}
}

func TestAClusterDecidesWhoReachesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.write("hub")
		w.write("spoke")
		d, name := w.of("hub"), "api.spoke.skiff.internal."
		check := func(want string) {
			t.Helper()
			if got := through(d, name, 6443, true); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		check("no such name")
		for _, peers := range [][]string{{"hub"}, {"all"}} {
			w.write("spoke", peers...)
			time.Sleep(fresh + time.Millisecond)
			check("[127.0.0.1:40005]")
		}
		at, _ := d.Resolve(name)
		w.write("spoke", "other")
		time.Sleep(fresh + time.Millisecond)
		check("no such name")
		if got := d.Route(netip.AddrPortFrom(at, 6443), true); len(got) > 0 {
			t.Errorf("its address still leads to %v", got)
		}
	})
}

func TestAClusterThatDoesNotRunHasNoServices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.write("spoke", "all")
		d, name := w.of("hub"), "web.shop.spoke.skiff.internal."
		if got := through(d, name, 80, true); got != "no such name" {
			t.Errorf("got %s", got)
		}
		w.services["spoke"] = []daemonapi.Service{web("LoadBalancer")}
		time.Sleep(fresh + time.Millisecond)
		if got := through(d, name, 80, true); !strings.Contains(got, "127.1.2.3:80") {
			t.Errorf("got %s", got)
		}
		before := w.asked
		for range 100 {
			through(d, name, 80, true)
		}
		if w.asked != before {
			t.Errorf("asked %d times for answers that are fresh", w.asked-before)
		}
	})
}

func TestTheTableIsBounded(t *testing.T) {
	var table table
	seen := map[netip.Addr]bool{}
	first := target{cluster: "first"}
	begun := table.address(first)
	for i := range maxTargets {
		at := table.address(target{cluster: fmt.Sprint("c", i)})
		if !rangeOfPeers.Contains(at) {
			t.Fatalf("%s is not in the range", at)
		}
		seen[at] = true
	}
	if len(seen) != maxTargets || len(table.byTarget) != maxTargets {
		t.Errorf("%d addresses for %d targets", len(seen), len(table.byTarget))
	}
	if got, ok := table.target(begun); !ok || got == first {
		t.Errorf("the oldest target still has %s", begun)
	}
}

func FuzzParseName(f *testing.F) {
	f.Add("api.spoke.skiff.internal.")
	f.Add("web.shop.spoke.skiff.internal.")
	f.Fuzz(func(t *testing.T, name string) {
		got, ok := parseName(name)
		if !ok {
			return
		}
		parts := []string{"api", got.cluster, "skiff.internal."}
		if got.service != "" {
			parts = []string{got.service, got.namespace, got.cluster, "skiff.internal."}
		}
		if strings.Join(parts, ".") != name || slices.Contains(parts, "") || strings.ContainsAny(got.cluster, "./\\") {
			t.Errorf("%q: %+v", name, got)
		}
	})
}
