package cluster

import (
	"net/netip"
	"strings"
	"testing"
)

func TestPortsAreReadAndWritten(t *testing.T) {
	loopback := netip.MustParseAddr("127.0.0.1")
	for text, want := range map[string]struct {
		port      Port
		canonical string
	}{
		"8080:svc/web:80":                         {Port{loopback, 8080, "tcp", PortService, "default", "web", "80"}, ""},
		"8080:service/shop/web:http":              {Port{loopback, 8080, "tcp", PortService, "shop", "web", "http"}, "8080:svc/shop/web:http"},
		"8080:svc/default/web:80/tcp":             {Port{loopback, 8080, "tcp", PortService, "default", "web", "80"}, "8080:svc/web:80"},
		"53:svc/kube-system/dns:53/udp":           {Port{loopback, 53, "udp", PortService, "kube-system", "dns", "53"}, ""},
		"5432:pod/db-0":                           {Port{loopback, 5432, "tcp", PortPod, "default", "db-0", "5432"}, "5432:pod/db-0:5432"},
		"53:svc/dns/udp":                          {Port{loopback, 53, "udp", PortService, "default", "dns", "53"}, "53:svc/dns:53/udp"},
		"53:udp":                                  {},
		"53:svc/udp":                              {},
		"53:node/udp":                             {Port{loopback, 53, "udp", PortNode, "", "", "53"}, "53:node:53/udp"},
		"5432:pod/db-0:5432":                      {Port{loopback, 5432, "tcp", PortPod, "default", "db-0", "5432"}, ""},
		"30080:node":                              {Port{loopback, 30080, "tcp", PortNode, "", "", "30080"}, "30080:node:30080"},
		"8080:node/worker-1:30080/udp":            {Port{loopback, 8080, "udp", PortNode, "", "worker-1", "30080"}, ""},
		"0.0.0.0:8080:svc/web:80":                 {Port{netip.MustParseAddr("0.0.0.0"), 8080, "tcp", PortService, "default", "web", "80"}, ""},
		"[::1]:8080:svc/web:80":                   {Port{netip.MustParseAddr("::1"), 8080, "tcp", PortService, "default", "web", "80"}, ""},
		"127.0.0.1:8080:pod/a/b.c:1":              {Port{loopback, 8080, "tcp", PortPod, "a", "b.c", "1"}, "8080:pod/a/b.c:1"},
		"192.0.2.1:1:svc/a/b:65535/udp":           {Port{netip.MustParseAddr("192.0.2.1"), 1, "udp", PortService, "a", "b", "65535"}, ""},
		"8080:svc/web:a-very-long-name":           {},
		"":                                        {},
		"8080":                                    {},
		"8080:web:80":                             {},
		"8080:svc/web:0":                          {},
		"8080:svc/web:70000":                      {},
		"8080:svc/web:80/sctp":                    {},
		"8080:svc/a/b/c:80":                       {},
		"8080:svc/-a/b:80":                        {},
		"8080:svc//b:80":                          {},
		"8080:svc/Web:80":                         {},
		"8080:pod/db:http":                        {},
		"0:svc/web:80":                            {},
		"65536:svc/web:80":                        {},
		"99999999999999999999:svc/web:80":         {},
		"1.2.3:8080:svc/web:80":                   {},
		"example.com:8080:svc/web:80":             {},
		"[::1%lo]:8080:svc/web:80":                {},
		"8080:node/a/b:1":                         {},
		"8080:node:http":                          {},
		"8080:svc/web:80 ":                        {},
		"-8080:svc/web:80":                        {},
		"8080:deployment/web:80":                  {},
		"8080:svc/web:80:90":                      {},
		"8080:svc/web:" + strings.Repeat("9", 30): {},
	} {
		p, err := ParsePort(text, "")
		if (err == nil) != (want.port != Port{}) || p != want.port {
			t.Errorf("%q: %+v, %v", text, p, err)
		}
		if err != nil {
			if !strings.HasPrefix(err.Error(), "invalid port ") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q: error %q", text, err)
			}
			continue
		}
		canonical := want.canonical
		if canonical == "" {
			canonical = text
		}
		if p.String() != canonical {
			t.Errorf("%q is written as %q, want %q", text, p, canonical)
		}
	}
}

func TestPortsTakeTheirNamespaceFromTheCommand(t *testing.T) {
	p, err := ParsePort("8080:svc/web:80", "shop")
	if err != nil || p.Namespace != "shop" {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestTwoPortsMustNotShareOneOfTheHost(t *testing.T) {
	if _, faults := ParsePorts([]string{"53:svc/a:53", "53:svc/a:53/udp", "0.0.0.0:53:svc/a:53"}); len(faults) > 0 {
		t.Errorf("different ports: %v", faults)
	}
	ports, faults := ParsePorts([]string{"80:svc/a:80", "127.0.0.1:80:pod/b:1", "x"})
	if len(ports) != 1 || len(faults) != 2 || faults[0].Error() != `ports "80:svc/a:80" and "127.0.0.1:80:pod/b:1" use the same port of the host` {
		t.Errorf("%v, %v", ports, faults)
	}
}

func FuzzParsePort(f *testing.F) {
	f.Add("8080:svc/web:80")
	f.Add("[::1]:53:pod/a/b:53/udp")
	f.Add("30080:node")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePort(text, "")
		if err != nil {
			return
		}
		again, err := ParsePort(p.String(), "")
		if err != nil || again != p {
			t.Errorf("%q is %+v, written as %q, read as %+v, %v", text, p, p, again, err)
		}
	})
}
