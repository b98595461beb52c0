package resolver

import (
	"net/netip"
	"testing"

	"github.com/miekg/dns"
)

func TestNamesOfTheNetworkAreAnsweredWithoutTheHost(t *testing.T) {
	host := netip.MustParseAddr("192.168.104.4")
	w := newWorld(t, map[string]string{"192.0.2.1": down}, "nameserver 192.0.2.1\n", "")
	r := w.resolver()
	r.names = func(name string) (netip.Addr, bool) {
		return host, name == "host.skiff.internal." || name == "host.docker.internal."
	}
	address := run(t, r)
	for _, c := range []struct {
		name              string
		kind              uint16
		code              int
		answer, authority int // records
	}{
		{"host.skiff.internal", dns.TypeA, dns.RcodeSuccess, 1, 0},
		{"HOST.Skiff.internal", dns.TypeA, dns.RcodeSuccess, 1, 0},
		{"host.docker.internal", dns.TypeA, dns.RcodeSuccess, 1, 0},
		{"host.skiff.internal", dns.TypeAAAA, dns.RcodeSuccess, 0, 1},
		{"host.docker.internal", dns.TypeAAAA, dns.RcodeSuccess, 0, 0},
		{"skiff.internal", dns.TypeSOA, dns.RcodeSuccess, 1, 0},
		{"none.skiff.internal", dns.TypeA, dns.RcodeNameError, 0, 1},
		{"none.docker.internal", dns.TypeA, dns.RcodeServerFailure, 0, 0}, // the host's to answer
	} {
		reply := ask(t, "udp", address, question(c.name, c.kind))
		if reply.Rcode != c.code || len(reply.Answer) != c.answer || len(reply.Ns) != c.authority {
			t.Errorf("%s %s: %v", c.name, dns.TypeToString[c.kind], reply)
		}
		if c.answer == 1 && c.kind == dns.TypeA && !reply.Answer[0].(*dns.A).A.Equal(host.AsSlice()) {
			t.Errorf("%s: %v", c.name, reply.Answer[0])
		}
	}
}

func TestHostsFileNamesForLoopbackLeadToTheHost(t *testing.T) {
	h := parseHosts([]byte("127.0.0.1 localhost\n127.0.0.1 app.local\n::1 app.local\n127.0.1.1 laptop\n"), netip.MustParseAddr("192.168.104.4"))
	for name, want := range map[string]string{"app.local.": "192.168.104.4", "laptop.": "192.168.104.4", "localhost.": "127.0.0.1"} {
		records, known := h.answer(dns.Question{Name: name, Qtype: dns.TypeA, Qclass: dns.ClassINET})
		if !known || len(records) != 1 || records[0].(*dns.A).A.String() != want {
			t.Errorf("%s: %v, want %s", name, records, want)
		}
	}
	if records, known := h.answer(dns.Question{Name: "app.local.", Qtype: dns.TypeAAAA, Qclass: dns.ClassINET}); !known || len(records) > 0 {
		t.Errorf("AAAA: %v, known %t", records, known)
	}
}
