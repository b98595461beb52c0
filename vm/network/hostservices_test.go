package network

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/skiff-dev/skiff/vm/network/hostport"
)

var hostServicesAddress = netip.MustParseAddr("192.168.104.4")

func ports(t testing.TB, list ...string) hostport.Set {
	t.Helper()
	set, err := hostport.Parse(list)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// refusedTCP reports whether a connection is refused at once.
func refusedTCP(t *testing.T, g *guest, to netip.AddrPort) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	conn, err := g.dialTCP(ctx, to)
	if err == nil {
		_ = conn.Close()
	}
	return err != nil && ctx.Err() == nil
}

func TestHostPortsAreRefusedUntilTheyAreOpened(t *testing.T) {
	w := newWorld(t)
	n := runNetwork(t, w, EgressNone)
	g := newGuest(t, n, workerOne)
	database := netip.AddrPortFrom(hostServicesAddress, 5432)
	if !refusedTCP(t, g, database) {
		t.Error("a closed port is not refused")
	}
	_, _ = g.dialUDP(t, netip.AddrPortFrom(hostServicesAddress, 5433)).Write([]byte("closed"))
	want := "Pods tried ports of the host that are not open: 5432, 5433. Add them to hostPorts if pods may use them."
	for deadline := time.Now().Add(time.Minute); !slices.Equal(n.Problems(), []string{want}); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("problems %q, want %q", n.Problems(), want)
		}
	}
	if got := w.seen(); len(got) > 0 {
		t.Fatalf("dialed %q", got)
	}

	n.OpenHostPorts(ports(t, "5432"))
	if got := strings.Join(n.Problems(), ""); strings.Contains(got, "5432") {
		t.Errorf("problems after it was opened: %q", got)
	}
	conn, err := g.dialTCP(t.Context(), database)
	if err != nil || !echoes(conn, "hello") {
		t.Fatalf("open port over TCP: %v", err)
	}
	if !echoes(g.dialUDP(t, database), "hello") {
		t.Error("open port over UDP: no echo")
	}
	if got, want := w.seen(), []string{"tcp4 127.0.0.1:5432", "udp4 127.0.0.1:5432"}; !slices.Equal(got, want) {
		t.Errorf("dialed %q, want %q", got, want)
	}
	n.OpenHostPorts(hostport.Set{})
	if !refusedTCP(t, g, database) {
		t.Error("a port that was closed again is not refused")
	}
	if !echoes(conn, "still open") {
		t.Error("an open connection ended")
	}
}

func TestServiceThatListensOnlyOnIPv6IsReached(t *testing.T) {
	w := newWorld(t)
	w.refuses = "127.0.0.1:5432"
	n := runNetwork(t, w, EgressAll)
	n.OpenHostPorts(ports(t, "5432"))
	conn, err := newGuest(t, n, workerOne).dialTCP(t.Context(), netip.AddrPortFrom(hostServicesAddress, 5432))
	if err != nil || !echoes(conn, "hello") {
		t.Fatalf("dial: %v", err)
	}
	if got, want := w.seen(), []string{"tcp4 127.0.0.1:5432", "tcp6 [::1]:5432"}; !slices.Equal(got, want) {
		t.Errorf("dialed %q, want %q", got, want)
	}
}

func TestOpenHostPortsOpenNoOtherWayToTheHost(t *testing.T) {
	w := newWorld(t)
	n := runNetwork(t, w, EgressAll)
	n.OpenHostPorts(ports(t, "all"))
	g := newGuest(t, n, workerOne)
	if !refusedTCP(t, g, netip.AddrPortFrom(gateway, 5432)) {
		t.Error("the gateway's own address is not refused")
	}
	machine := n.join(t)
	us, gw := macOf(workerTwo), gatewayHardware(t)
	for _, to := range []string{"127.0.0.1", "0.0.0.0", "192.168.104.3", "192.168.104.5", "169.254.169.254"} {
		target := netip.AddrPortFrom(netip.MustParseAddr(to), 5432)
		source := netip.AddrPortFrom(workerTwo, 40000)
		if _, err := machine.Write(framed(udpFrame(us, gw, source, target, "x"), synFrame(us, gw, source, target))); err != nil {
			t.Fatal(err)
		}
	}
	last := netip.MustParseAddrPort("198.51.100.9:9999")
	if _, err := machine.Write(framed(udpFrame(us, gw, netip.AddrPortFrom(workerTwo, 1), last, "last"))); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); len(w.seen()) == 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if got := w.seen(); !slices.Equal(got, []string{"udp4 " + last.String()}) {
		t.Errorf("dialed %q", got)
	}
}

func TestMachinesResolveTheNamesOfTheHost(t *testing.T) {
	g := newGuest(t, runNetwork(t, newWorld(t), EgressNone), workerOne)
	for _, name := range []string{"host.skiff.internal.", "host.docker.internal."} {
		conn := dns.Conn{Conn: g.dialUDP(t, netip.AddrPortFrom(gateway, dnsPort))}
		client := dns.Client{Timeout: time.Minute}
		reply, _, err := client.ExchangeWithConn(new(dns.Msg).SetQuestion(name, dns.TypeA), &conn)
		if err != nil || len(reply.Answer) != 1 || reply.Answer[0].(*dns.A).A.String() != hostServicesAddress.String() {
			t.Errorf("%s: %v, %v", name, reply, err)
		}
	}
	stream, err := g.dialTCP(t.Context(), netip.AddrPortFrom(gateway, dnsPort))
	if err != nil {
		t.Fatal(err)
	}
	client := dns.Client{Net: "tcp", Timeout: time.Minute}
	reply, _, err := client.ExchangeWithConn(new(dns.Msg).SetQuestion("none.skiff.internal.", dns.TypeA), &dns.Conn{Conn: stream})
	if err != nil || reply.Rcode != dns.RcodeNameError {
		t.Errorf("over TCP: %v, %v", reply, err)
	}
}

func TestProblemsAboutHostPortsAreBoundedAndEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hostServices{open: ports(t, "9000")}
		for port := range uint16(1000) {
			h.route(port, true)
			time.Sleep(time.Millisecond)
		}
		h.unanswered(9000)
		got := h.problems()
		if len(got) != 2 || !strings.Contains(got[0], "not open: 993, 994, ") || !strings.Contains(got[0], " 999. ") ||
			got[1] != "Pods tried ports of the host where nothing listens on 127.0.0.1: 9000." {
			t.Errorf("got %q", got)
		}
		if len(h.attempts) > maxAttempts {
			t.Error(fmt.Errorf("%d attempts are kept", len(h.attempts)))
		}
		time.Sleep(attemptsFor + time.Second)
		if got := h.problems(); len(got) > 0 {
			t.Errorf("later: %q", got)
		}
	})
}

func TestAProxyOnLoopbackIsReachedByTCPOnly(t *testing.T) {
	w := newWorld(t)
	n := runNetwork(t, w, EgressAll)
	proxy := netip.AddrPortFrom(hostServicesAddress, 3128)
	n.OpenProxies([]netip.AddrPort{netip.MustParseAddrPort("127.0.0.5:3128"), netip.MustParseAddrPort("192.0.2.1:3129")})
	g := newGuest(t, n, workerOne)
	conn, err := g.dialTCP(t.Context(), proxy)
	if err != nil || !echoes(conn, "hello") {
		t.Fatalf("dial: %v", err)
	}
	_, _ = g.dialUDP(t, proxy).Write([]byte("closed"))
	if !refusedTCP(t, g, netip.AddrPortFrom(hostServicesAddress, 3129)) {
		t.Error("a proxy beyond loopback opened a port")
	}
	if got, want := w.seen(), []string{"tcp4 127.0.0.5:3128"}; !slices.Equal(got, want) {
		t.Errorf("dialed %q, want %q", got, want)
	}
	n.OpenProxies(nil)
	if !refusedTCP(t, g, proxy) {
		t.Error("a proxy that was removed is not refused")
	}
	if !echoes(conn, "still open") {
		t.Error("an open connection ended")
	}
}

// onePeer is another cluster with one port.
type onePeer struct{ at netip.AddrPort }

func (p onePeer) Resolve(name string) (netip.Addr, bool) {
	return p.at.Addr(), name == "api.other.skiff.internal."
}

func (p onePeer) Route(to netip.AddrPort, tcp bool) []netip.AddrPort {
	if to != p.at || !tcp {
		return nil
	}
	return []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:40000")}
}

func TestOtherClustersAreReachedWithinTheEgressPolicy(t *testing.T) {
	other := onePeer{netip.MustParseAddrPort("198.19.0.1:6443")}
	for egress, want := range map[Egress][]string{EgressAll: {"tcp4 127.0.0.1:40000"}, EgressPublic: nil, EgressNone: nil} {
		w := newWorld(t)
		n := runNetwork(t, w, egress)
		n.config.Peers, n.config.PeerRange = other, netip.MustParsePrefix("198.19.0.0/16")
		g := newGuest(t, n, workerOne)
		conn, err := g.dialTCP(t.Context(), other.at)
		if (err == nil) != (want != nil) || err == nil && !echoes(conn, "hello") {
			t.Errorf("%s: %v", egress, err)
		}
		if !refusedTCP(t, g, netip.AddrPortFrom(other.at.Addr(), 80)) {
			t.Errorf("%s: another port is not refused", egress)
		}
		_, _ = g.dialUDP(t, other.at).Write([]byte("closed"))
		if got := w.seen(); !slices.Equal(got, want) {
			t.Errorf("%s: dialed %q, want %q", egress, got, want)
		}
	}
	n := runNetwork(t, newWorld(t), EgressAll)
	n.config.Peers = other
	if at, ok := n.name("api.other.skiff.internal."); !ok || at != other.at.Addr() {
		t.Errorf("its name leads to %s, %v", at, ok)
	}
	if _, ok := n.name("api.third.skiff.internal."); ok {
		t.Error("an unknown name is known")
	}
}

// slowPeer is another cluster whose daemon does not answer.
type slowPeer struct {
	onePeer
	asked, answer chan struct{}
}

func (p slowPeer) Route(to netip.AddrPort, tcp bool) []netip.AddrPort {
	p.asked <- struct{}{}
	<-p.answer
	return []netip.AddrPort{to}
}

func TestAClusterThatDoesNotAnswerDelaysNoOtherTraffic(t *testing.T) {
	w := newWorld(t)
	peer := slowPeer{asked: make(chan struct{}, 8), answer: make(chan struct{})}
	n := runConfig(t, w, Config{Subnet: testSubnet, Pods: testPods, Egress: EgressAll, Peers: peer, PeerRange: netip.MustParsePrefix("198.19.0.0/16")})
	g := newGuest(t, n, workerOne)
	slow := g.dialUDP(t, netip.MustParseAddrPort("198.19.0.1:53"))
	if _, err := slow.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	<-peer.asked
	if !echoes(g.dialUDP(t, netip.MustParseAddrPort("198.51.100.9:9999")), "hello") {
		t.Error("other datagrams wait")
	}
	close(peer.answer)
	answer := make([]byte, 5)
	_ = slow.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.ReadFull(slow, answer); err != nil || string(answer) != "hello" {
		t.Errorf("after the answer: %q, %v", answer, err)
	}
}
