package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	workerOne = netip.MustParseAddr("192.168.104.21")
	workerTwo = netip.MustParseAddr("192.168.104.22")
)

func port80(a netip.Addr) netip.AddrPort { return netip.AddrPortFrom(a, 80) }

func TestMachineReachesTheOutsideByTCPAndUDP(t *testing.T) {
	w := newWorld(t)
	g := newGuest(t, runNetwork(t, w, EgressAll), workerOne)
	conn, err := g.dialTCP(t.Context(), port80(somewhere))
	if err != nil {
		t.Fatal(err)
	}
	if !echoes(conn, "hello") {
		t.Error("TCP: no echo")
	}
	_ = conn.Close()
	udp := g.dialUDP(t, port80(somewhere))
	for _, size := range []int{5, 1400, 9000} {
		if !echoes(udp, strings.Repeat("x", size)) {
			t.Errorf("UDP: no echo of %d bytes", size)
		}
	}
	if got, want := w.seen(), []string{"tcp4 192.0.2.7:80", "udp4 192.0.2.7:80"}; !slices.Equal(got, want) {
		t.Errorf("dialed %q, want %q", got, want)
	}
}

func TestMachinesReachEachOther(t *testing.T) {
	n := runNetwork(t, newWorld(t), EgressAll)
	one, two := newGuest(t, n, workerOne), newGuest(t, n, workerTwo)
	// Nobody listens there: the answer is a reset from the other machine's stack.
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := one.dialTCP(ctx, port80(two.address)); err == nil || ctx.Err() != nil {
		t.Errorf("dial = %v, want a refusal", err)
	}
}

func TestHostIsToldWhenAMachineRefuses(t *testing.T) {
	n := runNetwork(t, newWorld(t), EgressAll)
	newGuest(t, n, workerOne)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := n.DialContext(ctx, "tcp", "192.168.104.21:80"); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("dial = %v, want a refusal", err)
	}
}

// TestNoFrameReachesTheHostItself sends raw frames, as root on a node can, to
// every form of address that a host may take for its own.
func TestNoFrameReachesTheHostItself(t *testing.T) {
	for _, egress := range Egresses() {
		t.Run(string(egress), func(t *testing.T) {
			w := newWorld(t)
			n := runNetwork(t, w, egress)
			machine := n.join(t)
			us, gw := macOf(workerOne), gatewayHardware(t)
			source := netip.AddrPortFrom(workerOne, 40000)
			for i, to := range []string{
				"0.0.0.0", "0.1.2.3", "127.0.0.1", "127.8.8.8", "255.255.255.255", "240.0.0.1", "224.0.0.1",
				"169.254.169.254", "192.168.104.255", "192.168.104.2", "192.168.104.3", "168.63.129.16", "100.100.100.200",
			} {
				target := netip.AddrPortFrom(netip.MustParseAddr(to), uint16(1000+i))
				for _, mac := range []hardwareAddress{gw, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}} {
					frames := framed(udpFrame(us, mac, source, target, "hello"), synFrame(us, mac, source, target))
					if _, err := machine.Write(frames); err != nil {
						t.Fatal(err)
					}
				}
			}
			if egress == EgressNone {
				time.Sleep(200 * time.Millisecond)
				if got := w.seen(); len(got) > 0 {
					t.Errorf("dialed %q", got)
				}
				return
			}
			// The last one may pass: once it did, the others would have.
			last := netip.MustParseAddrPort("198.51.100.9:9999")
			if _, err := machine.Write(framed(udpFrame(us, gw, source, last, "last"))); err != nil {
				t.Fatal(err)
			}
			for deadline := time.Now().Add(time.Minute); len(w.seen()) == 0 && time.Now().Before(deadline); {
				time.Sleep(time.Millisecond)
			}
			if got := w.seen(); !slices.Equal(got, []string{"udp4 " + last.String()}) {
				t.Errorf("dialed %q", got)
			}
		})
	}
}

func TestEgressPolicies(t *testing.T) {
	own := []netip.Addr{netip.MustParseAddr("203.0.113.5")}
	for _, c := range []struct {
		target      string
		all, public bool
	}{
		{"198.51.100.7", true, true},
		{"203.0.113.5", true, false}, // the host
		{"10.1.2.3", true, false},
		{"172.16.0.1", true, false},
		{"192.168.1.1", true, false},
		{"100.64.0.1", true, false},
		{"192.168.104.9", false, false}, // the machines' subnet
		{"127.0.0.1", false, false},
		{"0.0.0.0", false, false},
		{"169.254.169.254", false, false},
		{"255.255.255.255", false, false},
		{"224.0.0.251", false, false},
		{"::1", false, false},
	} {
		target := netip.MustParseAddr(c.target)
		if got := EgressAll.allows(target, testSubnet, own); got != c.all {
			t.Errorf("all: %s allowed = %t", target, got)
		}
		if got := Egress("").allows(target, testSubnet, own); got != c.all {
			t.Errorf("default: %s allowed = %t", target, got)
		}
		if got := EgressPublic.allows(target, testSubnet, own); got != c.public {
			t.Errorf("public: %s allowed = %t", target, got)
		}
		if EgressNone.allows(target, testSubnet, own) {
			t.Errorf("none: %s is allowed", target)
		}
	}
}

func TestGuardAdmitsOnlyTrueSenders(t *testing.T) {
	one, two, gw := macOf(workerOne), macOf(workerTwo), gatewayHardware(t)
	broadcast := hardwareAddress{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	pod, stranger := netip.MustParseAddr("10.244.3.4"), netip.MustParseAddr("198.51.100.1")
	udp := func(from, to hardwareAddress, source, destination netip.Addr) []byte {
		return udpFrame(from, to, port80(source), port80(destination), "x")
	}
	ipv6 := append(append(append([]byte{}, gw[:]...), one[:]...), 0x86, 0xdd, 0x60)
	for _, c := range []struct {
		name  string
		frame []byte
		want  bool
	}{
		{"to the outside", udp(one, gw, workerOne, somewhere), true},
		{"to another machine", udp(one, two, workerOne, workerTwo), true},
		{"from a pod to another machine", udp(one, two, pod, workerTwo), true},
		{"from a pod to the outside", udp(one, gw, pod, somewhere), false},
		{"another machine's address", udp(one, gw, workerTwo, somewhere), false},
		{"another machine's address to a machine", udp(one, two, workerTwo, workerTwo), false},
		{"a stranger's address to a machine", udp(one, two, stranger, workerTwo), false},
		{"from a pod to all machines and the gateway", udp(one, broadcast, pod, somewhere), false},
		{"from a pod to a group that the gateway hears", udp(one, hardwareAddress{1, 0, 0x5e}, pod, somewhere), false},
		{"the gateway's hardware address", udp(gw, two, workerOne, workerTwo), false},
		{"a hardware address outside of the subnet", udp(macOf(somewhere), gw, somewhere, somewhere), false},
		{"to this host", udp(one, gw, workerOne, netip.MustParseAddr("0.0.0.0")), false},
		{"ARP", arpFrame(one, broadcast, one, workerOne, gateway), true},
		{"ARP probe", arpFrame(one, broadcast, one, netip.IPv4Unspecified(), workerOne), true},
		{"ARP for the gateway", arpFrame(one, broadcast, one, gateway, workerTwo), false},
		{"ARP for another machine", arpFrame(one, broadcast, one, workerTwo, gateway), false},
		{"ARP with another's hardware address", arpFrame(one, broadcast, two, workerOne, gateway), false},
		{"ARP, cut", arpFrame(one, broadcast, one, workerOne, gateway)[:40], false},
		{"IPv4, cut", udp(one, gw, workerOne, somewhere)[:30], false},
		{"IPv6", ipv6, false},
		{"runt", []byte("runt"), false},
	} {
		g := &guard{subnet: testSubnet, pods: testPods, gateway: gw}
		if got := g.admit(&port{}, c.frame); got != c.want {
			t.Errorf("%s: admitted = %t, want %t", c.name, got, c.want)
		}
	}
}

func TestHardwareAddressBelongsToOnePortUntilItsMachineLeaves(t *testing.T) {
	g := &guard{subnet: testSubnet, pods: testPods, gateway: gatewayHardware(t)}
	first, second := &port{guard: g}, &port{closed: make(chan struct{})}
	frame := arpFrame(macOf(workerOne), gatewayHardware(t), macOf(workerOne), workerOne, gateway)
	for range 2 {
		if !g.admit(first, frame) {
			t.Error("the owner is rejected")
		}
	}
	if g.admit(second, frame) {
		t.Error("another port speaks for the machine")
	}
	g.release(first)
	if !g.admit(second, frame) {
		t.Error("the address is not free after its machine left")
	}
}

func TestDialsToSilentAddressesStopNobody(t *testing.T) {
	w := newWorld(t)
	n := runNetwork(t, w, EgressAll)
	g, other := newGuest(t, n, workerOne), newGuest(t, n, workerTwo)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for range maxDials / 2 {
		go func() { _, _ = g.dialTCP(ctx, port80(w.silent)) }()
	}
	for deadline := time.Now().Add(time.Minute); len(w.seen()) < maxDials/2; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("only %d dials are under way", len(w.seen()))
		}
	}
	for name, machine := range map[string]*guest{"the same machine": g, "another machine": other} {
		conn, err := machine.dialTCP(ctx, port80(somewhere))
		if err != nil || !echoes(conn, "hello") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFloodOfDatagramsIsBounded(t *testing.T) {
	w := newWorld(t)
	n := runNetwork(t, w, EgressAll)
	g := newGuest(t, n, workerOne)
	talk := g.dialUDP(t, port80(somewhere))
	if !echoes(talk, "before") {
		t.Fatal("no echo before the flood")
	}
	goroutines := runtime.NumGoroutine()
	flooder := n.join(t)
	us := macOf(workerTwo)
	for i := range 3 * maxFlows {
		source := netip.AddrPortFrom(workerTwo, uint16(10000+i))
		target := netip.MustParseAddrPort("198.51.100.1:9")
		if _, err := flooder.Write(framed(udpFrame(us, gatewayHardware(t), source, target, "no answer"))); err != nil {
			t.Fatal(err)
		}
	}
	if more := runtime.NumGoroutine() - goroutines; more > 3*maxFlows {
		t.Errorf("%d goroutines more", more)
	}
	if !echoes(talk, "after") {
		t.Error("another machine's flow ended")
	}
}

func TestFloodOfDatagramsLeavesRoomForConnections(t *testing.T) {
	w := newWorld(t)
	g := newGuest(t, runNetwork(t, w, EgressAll), workerOne)
	target := netip.MustParseAddr("198.51.100.1")
	for port := range maxFlows {
		conn := g.dialUDP(t, netip.AddrPortFrom(target, uint16(1000+port)))
		if _, err := conn.Write([]byte("no answer")); err != nil {
			t.Fatal(err)
		}
		if port%100 == 0 {
			time.Sleep(5 * time.Millisecond) // the guest's link drops what it cannot queue
		}
	}
	for before := -1; len(w.seen()) != before; time.Sleep(200 * time.Millisecond) {
		before = len(w.seen())
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	conn, err := g.dialTCP(ctx, port80(somewhere))
	if err != nil || !echoes(conn, "hello") {
		t.Errorf("connection of the same machine: %v", err)
	}
}

func TestStalestFlowsGoFirst(t *testing.T) {
	flow := func(answered bool, used int64) *udpFlow {
		f := &udpFlow{}
		f.answered.Store(answered)
		f.lastUsed.Store(used)
		return f
	}
	if !flow(false, 9).stalerThan(flow(true, 1)) {
		t.Error("an answered flow goes before an unanswered one")
	}
	if !flow(true, 1).stalerThan(flow(true, 9)) || flow(false, 9).stalerThan(flow(false, 1)) {
		t.Error("a flow in use goes before an idle one")
	}
}

func TestFlowLimitFollowsTheDescriptors(t *testing.T) {
	for files, want := range map[uint64]int{0: minFlows, 256: minFlows, 1024: 192, 4096: 960, 1 << 20: maxFlows} {
		if got := flowLimit(files); got != want {
			t.Errorf("%d files: %d flows, want %d", files, got, want)
		}
	}
}

func TestQuotaIsPerMachine(t *testing.T) {
	q := &quota{limit: 2}
	for i, want := range []bool{true, true, false} {
		if got := q.take(workerOne); got != want {
			t.Errorf("take %d = %t", i, got)
		}
	}
	if !q.take(workerTwo) {
		t.Error("another machine is limited")
	}
	if q.give(workerOne); !q.take(workerOne) {
		t.Error("what was returned cannot be taken")
	}
}

func FuzzNetworkSurvivesAnyFrames(f *testing.F) {
	w := newWorld(f)
	n := runNetwork(f, w, EgressAll)
	us, gw := macOf(workerOne), gatewayHardware(f)
	f.Add(framed(udpFrame(us, gw, port80(workerOne), port80(somewhere), "hello")))
	f.Add(framed(synFrame(us, gw, port80(workerOne), port80(somewhere))))
	f.Add(framed(udpFrame(us, gw, port80(workerOne), netip.AddrPortFrom(gateway, 53), "no query")))
	f.Add(framed(arpFrame(us, gw, us, workerOne, gateway)))
	f.Fuzz(func(t *testing.T, stream []byte) {
		machine := n.join(t)
		_, _ = machine.Write(stream)
		_ = machine.Close()
		for _, dialed := range w.seen() {
			_, address, _ := strings.Cut(dialed, " ")
			if at := netip.MustParseAddrPort(address); at.Addr().IsLoopback() || at.Addr().IsUnspecified() {
				t.Fatal(fmt.Errorf("dialed %s", dialed))
			}
		}
	})
}
