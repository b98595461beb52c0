package resolver

import (
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestEveryKindOfRecordIsAnsweredAsByTheHostsNameServer(t *testing.T) {
	w := newWorld(t, map[string]string{"192.0.2.1": serve(t, zone(t))}, "nameserver 192.0.2.1\n", "")
	address := run(t, w.resolver())
	for _, c := range []struct {
		name string
		kind uint16
		code int
		want string // part of the answer; empty: no record
	}{
		{"corp.test", dns.TypeSOA, dns.RcodeSuccess, "hostmaster.corp.test."},
		{"corp.test", dns.TypeCAA, dns.RcodeSuccess, "ca.example"},
		{"intranet.corp.test", dns.TypeA, dns.RcodeSuccess, "192.0.2.20"},
		{"INTRANET.corp.test", dns.TypeA, dns.RcodeSuccess, "192.0.2.20"},
		{"intranet.corp.test", dns.TypeHTTPS, dns.RcodeSuccess, "h2"},
		{"six.corp.test", dns.TypeAAAA, dns.RcodeSuccess, "2001:db8::6"},
		{"_acme-challenge.corp.test", dns.TypeTXT, dns.RcodeSuccess, "token"},
		{"_db._tcp.corp.test", dns.TypeSRV, dns.RcodeSuccess, "5432 intranet.corp.test."},
		{"20.2.0.192.in-addr.arpa", dns.TypePTR, dns.RcodeSuccess, "intranet.corp.test."},
		{"six.corp.test", dns.TypeA, dns.RcodeSuccess, ""},
		{"six.corp.test", dns.TypeMX, dns.RcodeSuccess, ""},
		{"none.corp.test", dns.TypeA, dns.RcodeNameError, ""},
	} {
		for _, network := range []string{"udp", "tcp"} {
			reply := ask(t, network, address, question(c.name, c.kind))
			what := c.name + " " + dns.TypeToString[c.kind] + " over " + network
			if reply.Rcode != c.code {
				t.Errorf("%s: %s, want %s", what, dns.RcodeToString[reply.Rcode], dns.RcodeToString[c.code])
			}
			switch {
			case c.want == "" && (len(reply.Answer) > 0 || len(reply.Ns) != 1):
				t.Errorf("%s: answer %v, authority %v; want none and the SOA", what, reply.Answer, reply.Ns)
			case c.want != "" && (len(reply.Answer) != 1 || !strings.Contains(reply.Answer[0].String(), c.want)):
				t.Errorf("%s: answer %v, want %s", what, reply.Answer, c.want)
			}
		}
	}
}

func TestLargeAnswersAreWholeOverTCPAndMarkedOverUDP(t *testing.T) {
	w := newWorld(t, map[string]string{"192.0.2.1": serve(t, zone(t))}, "nameserver 192.0.2.1\n", "")
	address := run(t, w.resolver())
	if reply := ask(t, "tcp", address, question("large.corp.test", dns.TypeTXT)); len(reply.Answer) != 100 || reply.Truncated {
		t.Errorf("TCP: %d records, truncated %t", len(reply.Answer), reply.Truncated)
	}
	plain := question("large.corp.test", dns.TypeTXT)
	extended := plain.Copy().SetEdns0(4096, false)
	for query, limit := range map[*dns.Msg]int{plain: dns.MinMsgSize, extended: maxDatagram} {
		reply := ask(t, "udp", address, query)
		reply.Compress = true // as it was sent
		if size := reply.Len(); !reply.Truncated || size > limit {
			t.Errorf("UDP: %d bytes, truncated %t, want at most %d", size, reply.Truncated, limit)
		}
	}
}

func TestEDNSIsAnsweredForThisHopOnly(t *testing.T) {
	var seen atomic.Pointer[dns.Msg]
	upstream := dns.HandlerFunc(func(w dns.ResponseWriter, query *dns.Msg) {
		seen.Store(query)
		zone(t)(w, query)
	})
	w := newWorld(t, map[string]string{"192.0.2.1": serve(t, upstream)}, "nameserver 192.0.2.1\n", "")
	address := run(t, w.resolver())
	query := question("intranet.corp.test", dns.TypeA).SetEdns0(4096, true)
	query.IsEdns0().Option = append(query.IsEdns0().Option, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0123456789abcdef"})
	reply := ask(t, "udp", address, query)
	if option := reply.IsEdns0(); option == nil || !option.Do() || option.UDPSize() != maxDatagram || len(option.Option) > 0 {
		t.Errorf("reply's EDNS: %v", option)
	}
	got := seen.Load()
	if option := got.IsEdns0(); option == nil || !option.Do() || len(option.Option) > 0 {
		t.Errorf("the name server saw EDNS %v", option)
	}
	if got.Id == query.Id {
		t.Error("the name server is asked with the machine's ID")
	}
	if reply := ask(t, "udp", address, question("intranet.corp.test", dns.TypeA)); reply.IsEdns0() != nil {
		t.Error("EDNS in the reply to a query without")
	}
	if reply := ask(t, "udp", address, query.Copy()); reply.Rcode != dns.RcodeSuccess {
		t.Errorf("code %d", reply.Rcode)
	}
	query.IsEdns0().SetVersion(1)
	if reply := ask(t, "udp", address, query); reply.Rcode != dns.RcodeBadVers {
		t.Errorf("EDNS version 1: code %d", reply.Rcode)
	}
}

func TestNameServerWithoutEDNSIsAskedWithoutIt(t *testing.T) {
	old := dns.HandlerFunc(func(w dns.ResponseWriter, query *dns.Msg) {
		if query.IsEdns0() != nil {
			_ = w.WriteMsg(new(dns.Msg).SetRcodeFormatError(query))
			return
		}
		zone(t)(w, query)
	})
	w := newWorld(t, map[string]string{"192.0.2.1": serve(t, old)}, "nameserver 192.0.2.1\n", "")
	reply := ask(t, "udp", run(t, w.resolver()), question("intranet.corp.test", dns.TypeA).SetEdns0(1232, false))
	if reply.Rcode != dns.RcodeSuccess || len(reply.Answer) != 1 {
		t.Errorf("got %v", reply)
	}
}

func TestOtherQueriesAreRefusedWithoutAskingAnyone(t *testing.T) {
	w := newWorld(t, nil, "nameserver 192.0.2.1\n", "")
	address := run(t, w.resolver())
	chaos := question("version.bind", dns.TypeTXT)
	chaos.Question[0].Qclass = dns.ClassCHAOS
	notify := question("corp.test", dns.TypeSOA)
	notify.Opcode = dns.OpcodeNotify
	for _, c := range []struct {
		query *dns.Msg
		want  int
	}{
		{question("corp.test", dns.TypeAXFR), dns.RcodeRefused},
		{question("corp.test", dns.TypeIXFR), dns.RcodeRefused},
		{chaos, dns.RcodeRefused},
		{notify, dns.RcodeNotImplemented},
	} {
		if reply := ask(t, "tcp", address, c.query); reply.Rcode != c.want {
			t.Errorf("%v: %s, want %s", c.query.Question[0], dns.RcodeToString[reply.Rcode], dns.RcodeToString[c.want])
		}
	}
	if n := w.asked.Load(); n > 0 {
		t.Errorf("name servers were asked %d times", n)
	}
}

func TestHeaderThatPromisesAQuestionIsAFormatError(t *testing.T) {
	address := run(t, newWorld(t, nil, "", "").resolver())
	conn, err := net.Dial("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := conn.Write([]byte{0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 512)
	n, err := conn.Read(answer)
	if err != nil {
		t.Fatal(err)
	}
	reply := new(dns.Msg)
	if err := reply.Unpack(answer[:n]); err != nil || reply.Id != 7 || reply.Rcode != dns.RcodeFormatError {
		t.Errorf("got %v, %v", reply, err)
	}
}

func TestOnlyMachinesAreAnswered(t *testing.T) {
	r := newWorld(t, nil, "", "192.0.2.9 known.test\n").resolver()
	r.machines = netip.MustParsePrefix("192.168.104.0/24")
	client := dns.Client{Timeout: 300 * time.Millisecond}
	if reply, _, err := client.Exchange(question("known.test", dns.TypeA), run(t, r)); err == nil {
		t.Errorf("answered a stranger: %v", reply)
	}
}

func TestMachineHasAShareOfQueries(t *testing.T) {
	r := newWorld(t, nil, "nameserver 192.0.2.1\n", "").resolver()
	one, two := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")
	for range maxUnderWay {
		if !r.begin(one) {
			t.Fatal("refused within the limit")
		}
	}
	began := time.Now()
	if reply := r.reply(t.Context(), one, question("corp.test", dns.TypeA)); reply.Rcode != dns.RcodeServerFailure || time.Since(began) > time.Second {
		t.Errorf("over the limit: %s after %s", dns.RcodeToString[reply.Rcode], time.Since(began))
	}
	if !r.begin(two) {
		t.Error("another machine is limited")
	}
	if r.end(one); !r.begin(one) {
		t.Error("what was returned cannot be taken")
	}
	allowed := 0
	for range 2 * queryBurst {
		if r.allows(one) {
			allowed++
		}
	}
	if allowed < queryBurst || allowed >= 2*queryBurst || !r.allows(two) {
		t.Errorf("%d queries at once are allowed", allowed)
	}
}

// FuzzResolverSurvivesAnyMessage sends any bytes as a query and as a name server's
// reply.
func FuzzResolverSurvivesAnyMessage(f *testing.F) {
	var reply atomic.Pointer[[]byte]
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = packets.Close() })
	go func() {
		buffer := make([]byte, 64<<10)
		for {
			n, from, err := packets.ReadFrom(buffer)
			if err != nil {
				return
			}
			// The reply gets the query's ID, or it would not be looked at.
			if answer := *reply.Load(); len(answer) > 2 && n > 2 {
				_, _ = packets.WriteTo(append(append([]byte{}, buffer[:2]...), answer[2:]...), from)
			}
		}
	}()
	w := newWorld(f, map[string]string{"192.0.2.1": packets.LocalAddr().String()}, "nameserver 192.0.2.1\n", "192.0.2.9 known.test\n")
	r := w.resolver()
	address := run(f, r)
	conn, err := net.Dial("udp", address)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = conn.Close() })
	packed := func(m *dns.Msg) []byte {
		bytes, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		return bytes
	}
	query := question("known.test", dns.TypePTR).SetEdns0(4096, true)
	f.Add(packed(query), packed(new(dns.Msg).SetReply(query)))
	f.Add([]byte{0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}, []byte{})
	f.Fuzz(func(t *testing.T, query, answer []byte) {
		reply.Store(&answer)
		_, _ = conn.Write(query)
		parsed := new(dns.Msg)
		if parsed.Unpack(query) != nil {
			return
		}
		outcome := respond(parsed, &dns.Msg{})
		if response := new(dns.Msg); response.Unpack(answer) == nil {
			outcome = respond(parsed, response)
		}
		outcome.Truncate(maxDatagram)
		if bytes, err := outcome.Pack(); err == nil && len(bytes) > maxDatagram {
			t.Errorf("a reply of %d bytes", len(bytes))
		}
	})
}
