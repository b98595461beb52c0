package cluster

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// proxied returns a cluster with proxies in its configuration and in the environment.
func proxied(wanted Proxy, found nodeconfig.Proxy) Spec {
	spec := Default()
	spec.Proxy, spec.Environment.Proxy = wanted, found
	return spec
}

const always = "localhost,127.0.0.0/8,::1,192.168.104.0/24,10.244.0.0/16,10.96.0.0/16,.svc,.cluster.local,.skiff.internal,host.docker.internal"

func TestNodesUseTheHostsProxy(t *testing.T) {
	found := nodeconfig.Proxy{HTTP: "proxy.corp:3128", HTTPS: "http://user:pass@proxy.corp", No: "corp, 10.0.0.0/8"}
	for name, test := range map[string]struct {
		spec Spec
		want nodeconfig.Proxy
	}{
		"none":        {proxied(Proxy{}, nodeconfig.Proxy{No: "corp"}), nodeconfig.Proxy{}},
		"environment": {proxied(Proxy{}, found), nodeconfig.Proxy{HTTP: "http://proxy.corp:3128", HTTPS: "http://user:pass@proxy.corp:80", No: "corp,10.0.0.0/8," + always}},
		"keys":        {proxied(Proxy{HTTP: "none", HTTPS: "socks5://10.1.1.1", No: "none"}, found), nodeconfig.Proxy{HTTPS: "socks5://10.1.1.1:1080", No: always}},
		"turned off":  {proxied(Proxy{HTTP: "none", HTTPS: "none"}, found), nodeconfig.Proxy{}},
		"loopback":    {proxied(Proxy{HTTP: "http://localhost:3128/", HTTPS: "http://127.0.0.9:8888"}, nodeconfig.Proxy{}), nodeconfig.Proxy{HTTP: "http://192.168.104.4:3128", HTTPS: "http://192.168.104.4:8888", No: always}},
	} {
		if got := NodeProxy(test.spec, netip.MustParseAddr("192.168.104.4")); got != test.want {
			t.Errorf("%s: got %+v, want %+v", name, got, test.want)
		}
	}
	for _, egress := range []string{EgressPublic, EgressNone} {
		spec := proxied(Proxy{HTTP: "http://127.0.0.1:3128"}, found)
		spec.Network.Egress = egress
		if got := NodeProxy(spec, netip.Addr{}); got != (nodeconfig.Proxy{}) || len(LoopbackProxies(spec)) > 0 {
			t.Errorf("egress %s: nodes may use %+v", egress, got)
		}
	}
}

func TestLoopbackProxies(t *testing.T) {
	for text, want := range map[string]string{
		"http://localhost:3128":    "[127.0.0.1:3128 [::1]:3128]",
		"http://127.0.0.9:8888":    "[127.0.0.9:8888]",
		"[::1]:8888":               "[[::1]:8888]",
		"[::ffff:127.0.0.1]:8888":  "[127.0.0.1:8888]",
		"http://proxy.corp:3128":   "[]",
		"http://192.168.1.1:3128":  "[]",
		"http://LOCALHOST.":        "[127.0.0.1:80 [::1]:80]",
		"http://a.localhost:10000": "[127.0.0.1:10000 [::1]:10000]",
	} {
		if got := fmt.Sprint(LoopbackProxies(proxied(Proxy{HTTP: text}, nodeconfig.Proxy{}))); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}

func TestInvalidProxiesAreNamed(t *testing.T) {
	for name, test := range map[string]struct {
		spec Spec
		want string
	}{
		"scheme":      {proxied(Proxy{HTTP: "ftp://proxy"}, nodeconfig.Proxy{}), `invalid proxy.http: the scheme "ftp" is unknown`},
		"host":        {proxied(Proxy{HTTPS: "http://:3128"}, nodeconfig.Proxy{}), "invalid proxy.https: the host is missing"},
		"port":        {proxied(Proxy{HTTPS: "http://proxy:0"}, nodeconfig.Proxy{}), `invalid proxy.https: "0" is not a port`},
		"path":        {proxied(Proxy{HTTP: "http://proxy/x"}, nodeconfig.Proxy{}), "invalid proxy.http: a proxy has no path"},
		"environment": {proxied(Proxy{}, nodeconfig.Proxy{HTTP: "http://%"}), "invalid HTTP_PROXY in the environment: it is not a URL; correct it, or set proxy.http"},
		"newline":     {proxied(Proxy{HTTP: "http://user:a\nb@proxy"}, nodeconfig.Proxy{}), "proxy.http"},
		"no":          {proxied(Proxy{No: `a,"b`}, nodeconfig.Proxy{}), `invalid entry "\"b" of proxy.no`},
		"authorities": {Spec{CABundle: "/x.pem", Environment: Environment{Authorities: "x"}}, "caBundle: /x.pem: it contains no certificate"},
	} {
		faults := validateProxy(test.spec)
		if len(faults) == 0 || !strings.Contains(faults[0].Error(), test.want) || strings.Contains(faults[0].Error(), "\n") {
			t.Errorf("%s: %v, want %q", name, faults, test.want)
		}
	}
	spec := proxied(Proxy{Pods: true}, nodeconfig.Proxy{})
	spec.Network.Egress = EgressPublic
	if faults := validateProxy(spec); len(faults) != 1 || !strings.Contains(faults[0].Error(), "proxy.pods needs network.egress all") {
		t.Errorf("pods: %v", faults)
	}
	for name, spec := range map[string]Spec{"default": Default(), "all": proxied(Proxy{HTTP: "http://u:p@proxy.corp:1", HTTPS: "none", No: ".corp, 10.0.0.0/8,*", Pods: true}, nodeconfig.Proxy{})} {
		if faults := validateProxy(spec); len(faults) > 0 {
			t.Errorf("%s: %v", name, faults)
		}
	}
}

func FuzzProxy(f *testing.F) {
	f.Add("http://user:password@proxy.example:3128", ".example.com,10.0.0.0/8")
	f.Add("[::1]:8888", "none")
	f.Fuzz(func(t *testing.T, proxy, no string) {
		spec := proxied(Proxy{HTTP: proxy, No: no}, nodeconfig.Proxy{})
		if len(validateProxy(spec)) > 0 {
			return
		}
		for _, at := range LoopbackProxies(spec) {
			if !at.Addr().IsLoopback() {
				t.Errorf("%q opens %s", proxy, at)
			}
		}
		if err := (nodeconfig.Host{Proxy: NodeProxy(spec, netip.MustParseAddr("192.168.104.4"))}).Validate(); err != nil {
			t.Errorf("%q: nodes refuse it: %v", proxy, err)
		}
	})
}
