package cloud

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/controlplane/cloud/cloudapi"
)

var (
	testPool  = netip.MustParsePrefix("192.168.104.128/25")
	smallPool = netip.MustParsePrefix("192.168.104.252/30") // .252, .253 and .254
	quiet     = slog.New(slog.DiscardHandler)
)

func balancer(uid string) cloudapi.LoadBalancer {
	return cloudapi.LoadBalancer{
		Namespace: "default", Name: "svc-" + uid, UID: uid,
		Ports: []cloudapi.Port{{Protocol: "TCP", Port: 80, NodePort: 30080}}, Nodes: []string{"worker-1"},
	}
}

func requesting(uid, address string) cloudapi.LoadBalancer {
	l := balancer(uid)
	l.Requested = netip.MustParseAddr(address)
	return l
}

// list returns the load balancers, sorted by address.
func (b *Balancers) list() []assignment { return sortedByAddress(b.copy()) }

func open(t *testing.T, path string, pool netip.Prefix) *Balancers {
	t.Helper()
	b, err := OpenBalancers(path, pool, quiet)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func ensure(t *testing.T, b *Balancers, l cloudapi.LoadBalancer) netip.Addr {
	t.Helper()
	status, err := b.Ensure(l, false)
	if err != nil {
		t.Fatal(err)
	}
	return status.Address
}

func TestServicesHaveDifferentAddressesAndKeepThem(t *testing.T) {
	path := filepath.Join(t.TempDir(), "loadbalancers.json")
	b := open(t, path, testPool)
	want := map[string]netip.Addr{}
	for i := range 5 {
		uid := fmt.Sprint("u", i)
		want[uid] = ensure(t, b, balancer(uid))
	}
	if want["u0"] != testPool.Addr() || want["u4"].String() != "192.168.104.132" {
		t.Errorf("addresses %v", want)
	}
	if err := b.Delete("u1"); err != nil {
		t.Fatal(err)
	}
	again := open(t, path, testPool)
	for uid, address := range want {
		status, err := again.Get(uid)
		if uid == "u1" {
			if !errors.Is(err, ErrNotFound) {
				t.Errorf("deleted: %v, %v", status, err)
			}
			continue
		}
		if err != nil || status.Address != address || ensure(t, again, balancer(uid)) != address {
			t.Errorf("%s: %v, %v, want %s", uid, status, err, address)
		}
	}
	if got := ensure(t, again, balancer("u9")); got != want["u1"] {
		t.Errorf("a new service has %s, want the free %s", got, want["u1"])
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("file: %v, %v", info, err)
	}
}

func TestAddressOfALoadBalancer(t *testing.T) {
	all := map[string]assignment{
		"a": {UID: "a", Address: netip.MustParseAddr("192.168.104.252")},
		"b": {UID: "b", Address: netip.MustParseAddr("192.168.104.254")},
	}
	previously := func(uid, address string) cloudapi.LoadBalancer {
		l := balancer(uid)
		l.Previous = netip.MustParseAddr(address)
		return l
	}
	for name, test := range map[string]struct {
		balancer cloudapi.LoadBalancer
		want     string
		err      error
	}{
		"the free one":            {balancer("c"), "192.168.104.253", nil},
		"its own":                 {balancer("b"), "192.168.104.254", nil},
		"requested and free":      {requesting("a", "192.168.104.253"), "192.168.104.253", nil},
		"requested and its own":   {requesting("a", "192.168.104.252"), "192.168.104.252", nil},
		"requested and taken":     {requesting("a", "192.168.104.254"), "", ErrTaken},
		"requested, broadcast":    {requesting("a", "192.168.104.255"), "", ErrUnusable},
		"requested, a node's":     {requesting("a", "192.168.104.21"), "", ErrUnusable},
		"requested, elsewhere":    {requesting("a", "8.8.8.8"), "", ErrUnusable},
		"previous, free":          {previously("c", "192.168.104.253"), "192.168.104.253", nil},
		"previous, taken":         {previously("c", "192.168.104.252"), "192.168.104.253", nil},
		"previous, of other pool": {previously("c", "10.0.0.1"), "192.168.104.253", nil},
	} {
		got, err := choose(all, smallPool, test.balancer)
		if !errors.Is(err, test.err) || test.err == nil && got.String() != test.want {
			t.Errorf("%s: %s, %v, want %s, %v", name, got, err, test.want, test.err)
		}
	}
	all["c"] = assignment{UID: "c", Address: netip.MustParseAddr("192.168.104.253")}
	_, err := choose(all, smallPool, balancer("d"))
	if !errors.Is(err, ErrExhausted) || !strings.Contains(err.Error(), "192.168.104.252 to 192.168.104.254") {
		t.Errorf("without a free address: %v", err)
	}
}

func TestAnUpdateCreatesNoLoadBalancer(t *testing.T) {
	b := open(t, filepath.Join(t.TempDir(), "f"), testPool)
	if _, err := b.Ensure(balancer("a"), true); !errors.Is(err, ErrNotFound) || len(b.list()) > 0 {
		t.Errorf("update = %v, load balancers %v", err, b.list())
	}
}

func TestLoadBalancersOfUnknownServicesAreRemoved(t *testing.T) {
	b := open(t, filepath.Join(t.TempDir(), "f"), testPool)
	for _, uid := range []string{"a", "b", "c"} {
		ensure(t, b, balancer(uid))
	}
	if err := b.Retain([]string{"b", "x"}); err != nil {
		t.Fatal(err)
	}
	if all := b.list(); len(all) != 1 || all[0].UID != "b" {
		t.Errorf("left %v", all)
	}
}

func TestADamagedFileIsSetAsideAndANewerOneIsNot(t *testing.T) {
	for name, content := range map[string]string{
		"not JSON":      "hello",
		"two addresses": `{"version":1,"loadBalancers":[` + entry("a", "192.168.104.128") + "," + entry("b", "192.168.104.128") + `]}`,
		"two UIDs":      `{"version":1,"loadBalancers":[` + entry("a", "192.168.104.128") + "," + entry("a", "192.168.104.129") + `]}`,
		"no address":    `{"version":1,"loadBalancers":[` + entry("a", "") + `]}`,
	} {
		path := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		b := open(t, path, testPool)
		kept, err := os.ReadFile(path + ".damaged")
		if len(b.list()) > 0 || err != nil || string(kept) != content {
			t.Errorf("%s: %v, %v", name, b.list(), err)
		}
	}
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte(`{"version":2,"other":[]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenBalancers(path, testPool, quiet); !errors.Is(err, errNewer) {
		t.Errorf("a newer file: %v", err)
	}
}

func entry(uid, address string) string {
	return fmt.Sprintf(`{"namespace":"default","name":"a","uid":%q,"ports":[{"protocol":"TCP","port":1}],"nodes":[],"address":%q}`, uid, address)
}

func TestGatewaysAndServicesShareThePool(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	b := open(t, path, testPool)
	service := ensure(t, b, balancer("s"))
	g, err := b.EnsureGateway(balancer("g"))
	if err != nil || g == service {
		t.Fatalf("%s and %s, %v", service, g, err)
	}
	if _, err := b.EnsureGateway(requesting("other", service.String())); !errors.Is(err, ErrTaken) {
		t.Errorf("the address of a service: %v", err)
	}
	// Each controller knows only its own objects.
	for _, step := range []struct {
		name string
		do   func() error
		want int
	}{
		{"services are listed", func() error { return b.Retain([]string{"s"}) }, 2},
		{"a service of the same UID is deleted", func() error { return b.Delete("g") }, 2},
		{"Gateways are listed", func() error { return b.RetainGateways([]string{"g"}) }, 2},
		{"the Gateway is gone", func() error { return b.RetainGateways(nil) }, 1},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		if left := open(t, path, testPool).list(); len(left) != step.want {
			t.Errorf("%s: left %v", step.name, left)
		}
	}
}
