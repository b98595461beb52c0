package resolver

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

func addresses(servers []*nameserver) []string {
	var all []string
	for _, s := range servers {
		all = append(all, s.address)
	}
	return all
}

func TestResolvConfIsReadAsTheHostReadsIt(t *testing.T) {
	n := parseResolvConf([]byte(`# a comment
search corp.test. CORP.test bad_but.used -no a..b .
nameserver 127.0.0.53
nameserver fe80::1%eth0
nameserver name.is.no.address
nameserver 192.0.2.3 # trailing
nameserver 192.0.2.4
options edns0 timeout:9999999999999999999 trust-ad
`))
	if got, want := addresses(n.servers), []string{"127.0.0.53:53", "[fe80::1%eth0]:53", "192.0.2.3:53"}; !slices.Equal(got, want) {
		t.Errorf("servers %q, want %q", got, want)
	}
	if want := []string{"corp.test", "bad_but.used"}; !slices.Equal(n.search, want) {
		t.Errorf("search %q, want %q", n.search, want)
	}
	if n.wait < minWait || n.wait > maxWait {
		t.Errorf("wait %s", n.wait)
	}
	if got := addresses(parseResolvConf(nil).servers); !slices.Equal(got, []string{"127.0.0.1:53"}) {
		t.Errorf("without a file: %q", got)
	}
}

// scutilOutput has a VPN with a domain of its own, one that is supplemental for all
// names, multicast DNS, and servers for one interface only.
const scutilOutput = `DNS configuration

resolver #1
  search domain[0] : home.test
  nameserver[0] : 192.0.2.53
  nameserver[1] : fe80::1%en0
  if_index : 14 (en0)
  flags    : Request A records, Request AAAA records
  reach    : 0x00020002 (Reachable,Directly Reachable Address)
  order    : 200000

resolver #2
  nameserver[0] : 10.83.200.1
  flags    : Supplemental, Request A records
  order    : 101400

resolver #3
  domain   : corp.test
  nameserver[0] : 10.0.0.1
  flags    : Supplemental, Request A records
  order    : 102600

resolver #4
  domain   : dev.corp.test.
  nameserver[0] : 127.0.0.1
  port     : 8600

resolver #5
  domain   : local
  options  : mdns
  timeout  : 5
  order    : 300000

DNS configuration (for scoped queries)

resolver #1
  nameserver[0] : 203.0.113.9
  if_index : 14 (en0)
  flags    : Scoped, Request A records
`

func TestNamesOfAVPNGoToItsNameServersOnMacOS(t *testing.T) {
	n := parseScutil([]byte(scutilOutput), parseResolvConf([]byte("search home.test\nnameserver 203.0.113.9\n")))
	for name, want := range map[string][]string{
		"example.test.":      {"10.83.200.1:53", "192.0.2.53:53", "[fe80::1%en0]:53"},
		"corp.test.":         {"10.0.0.1:53"},
		"Intranet.CORP.test": {"10.0.0.1:53"},
		"a.dev.corp.test.":   {"127.0.0.1:8600"},
		"xcorp.test.":        {"10.83.200.1:53", "192.0.2.53:53", "[fe80::1%en0]:53"},
		"printer.local.":     {"10.83.200.1:53", "192.0.2.53:53", "[fe80::1%en0]:53"},
	} {
		if got := addresses(n.responsible(name)); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if n := parseScutil([]byte("No DNS configuration available\n"), parseResolvConf([]byte("nameserver 203.0.113.9\n"))); !slices.Equal(addresses(n.servers), []string{"203.0.113.9:53"}) {
		t.Errorf("without resolvers: %q", addresses(n.servers))
	}
}

const hostsText = `127.0.0.1 localhost
127.0.1.1 laptop
::1 localhost ip6-localhost
192.0.2.10 Shop.localdev.test shop # a comment
2001:db8::10 shop
0.0.0.0 ads.test
192.0.2.11
not-an-address x
fe80::1%eth0 link
`

func TestHostsFileAnswersAddressesAndNames(t *testing.T) {
	h := parseHosts([]byte(hostsText), netip.Addr{})
	reverse, err := dns.ReverseAddr("192.0.2.10")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		kind  uint16
		known bool
		want  string // the values
	}{
		{"shop.localdev.test.", dns.TypeA, true, "192.0.2.10"},
		{"SHOP.", dns.TypeA, true, "192.0.2.10"},
		{"shop.", dns.TypeAAAA, true, "2001:db8::10"},
		{"shop.localdev.test.", dns.TypeAAAA, true, ""},
		{"shop.", dns.TypeMX, false, ""},
		{"ads.test.", dns.TypeA, true, "0.0.0.0"},
		{"localhost.", dns.TypeA, true, "127.0.0.1"},
		{"localhost.", dns.TypeAAAA, true, "::1"},
		{"laptop.", dns.TypeA, false, ""}, // would lead a pod to itself
		{"other.test.", dns.TypeA, false, ""},
		{reverse, dns.TypePTR, true, "shop.localdev.test. shop."},
		{"1.1.0.127.in-addr.arpa.", dns.TypePTR, false, ""},
	} {
		records, known := h.answer(dns.Question{Name: c.name, Qtype: c.kind, Qclass: dns.ClassINET})
		var values []string
		for _, r := range records {
			values = append(values, strings.TrimPrefix(r.String(), r.Header().String()))
		}
		if got := strings.Join(values, " "); known != c.known || got != c.want {
			t.Errorf("%s %s: %q, known %t; want %q, %t", c.name, dns.TypeToString[c.kind], got, known, c.want, c.known)
		}
	}
}

func TestChangedFilesAreFollowedWithinSeconds(t *testing.T) {
	w := newWorld(t, map[string]string{"192.0.2.1": down, "192.0.2.2": serve(t, zone(t))}, "nameserver 192.0.2.1\n", "")
	address := run(t, w.resolver())
	if reply := ask(t, "udp", address, question("intranet.corp.test", dns.TypeA)); reply.Rcode != dns.RcodeServerFailure {
		t.Fatalf("before: %v", reply)
	}
	write(t, w.resolvConf, "nameserver 192.0.2.2\n")
	write(t, w.hosts, "192.0.2.30 added.test\n")
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		intranet := ask(t, "udp", address, question("intranet.corp.test", dns.TypeA))
		added := ask(t, "udp", address, question("added.test", dns.TypeA))
		if len(intranet.Answer) == 1 && len(added.Answer) == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("not followed: %v, %v", intranet, added)
		}
	}
}

func TestUnreadableFileKeepsWhatItSaidAndAMissingOneIsEmpty(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	write(t, path, "search corp.test\n")
	synctest.Test(t, func(t *testing.T) {
		search := NewSearch(path)
		domains := func() string {
			time.Sleep(checkPeriod)
			return strings.Join(search.Domains(), " ")
		}
		if got := domains(); got != "corp.test" {
			t.Errorf("at first: %q", got)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if got := domains(); got != "corp.test" {
			t.Errorf("unreadable: %q", got)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if got := domains(); got != "" {
			t.Errorf("missing: %q", got)
		}
		write(t, path, "search other.test\n")
		if got := domains(); got != "other.test" {
			t.Errorf("back: %q", got)
		}
	})
}

func FuzzHostFilesAreReadWithoutPanic(f *testing.F) {
	for _, text := range []string{hostsText, scutilOutput, "nameserver 192.0.2.1\nsearch a.test\noptions timeout:x\n"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		host := parseScutil(content, parseResolvConf(content))
		for _, server := range append(host.servers, host.responsible("a.corp.test.")...) {
			if _, err := netip.ParseAddrPort(server.address); err != nil {
				t.Errorf("server %q", server.address)
			}
		}
		for _, name := range host.search {
			if strings.ContainsAny(name, " \t\r\n") {
				t.Errorf("search %q", name)
			}
		}
		for name := range parseHosts(content, netip.Addr{}).addresses {
			parseHosts(content, netip.Addr{}).answer(dns.Question{Name: name, Qtype: dns.TypeA, Qclass: dns.ClassINET})
		}
	})
}
