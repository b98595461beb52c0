package network

import (
	"context"
	"encoding/binary"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/skiff-dev/skiff/vm/machine"
)

var (
	podOfOne     = netip.MustParseAddr("10.244.1.5")
	podOfTwo     = netip.MustParseAddr("10.244.2.5")
	clusterIP    = netip.MustParseAddr("10.96.0.80")
	loadBalancer = netip.MustParseAddr("192.168.104.240")
	testRoutes   = []machine.Route{
		{Destination: netip.MustParsePrefix("10.244.1.0/24"), Via: workerOne},
		{Destination: netip.MustParsePrefix("10.244.2.0/24"), Via: workerTwo},
		{Destination: netip.MustParsePrefix("10.96.0.0/16"), Via: workerOne},
		{Destination: netip.PrefixFrom(loadBalancer, 32), Via: workerOne},
	}
)

// serveAt makes the machine answer at another address as well, with an echo over
// TCP and UDP.
func (g *guest) serveAt(t testing.TB, at netip.Addr) {
	t.Helper()
	own := tcpip.ProtocolAddress{Protocol: ipv4.ProtocolNumber, AddressWithPrefix: tcpipAddress(at).WithPrefix()}
	if err := g.stack.AddProtocolAddress(1, own, stack.AddressProperties{}); err != nil {
		t.Fatal(err)
	}
	here := tcpip.FullAddress{NIC: 1, Addr: tcpipAddress(at), Port: 80}
	listener, err := gonet.ListenTCP(g.stack, here, ipv4.ProtocolNumber)
	if err != nil {
		t.Fatal(err)
	}
	packets, err := gonet.DialUDP(g.stack, &here, nil, ipv4.ProtocolNumber)
	if err != nil {
		t.Fatal(err)
	}
	serveEcho(t, listener, packets)
}

// reaches reports whether the host gets an echo from an address.
func reaches(ctx context.Context, n *Network, network string, at netip.Addr) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := n.DialContext(ctx, network, port80(at).String())
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	for _, text := range []string{"hello", strings.Repeat("x", 9000)} { // one that is fragmented as a datagram
		if _, err := conn.Write([]byte(text)); err != nil {
			return false
		}
		answer := make([]byte, len(text))
		if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != text {
			return false
		}
	}
	return true
}

func TestHostReachesAddressesBehindMachines(t *testing.T) {
	n := runNetwork(t, newWorld(t), EgressAll)
	one := newGuest(t, n, workerOne)
	addresses := []netip.Addr{podOfOne, clusterIP, loadBalancer}
	for _, at := range addresses {
		one.serveAt(t, at)
	}
	for _, at := range addresses {
		if reaches(t.Context(), n, "tcp", at) || reaches(t.Context(), n, "udp", at) {
			t.Errorf("%s is reached without a route", at)
		}
	}
	if err := n.SetRoutes(testRoutes); err != nil {
		t.Fatal(err)
	}
	for _, at := range addresses {
		for _, network := range []string{"tcp", "udp"} {
			if !reaches(t.Context(), n, network, at) {
				t.Errorf("%s %s is not reached", network, at)
			}
		}
	}
}

func TestConnectionsToAServiceOutliveItsRoute(t *testing.T) {
	n := runNetwork(t, newWorld(t), EgressAll)
	newGuest(t, n, workerOne).serveAt(t, clusterIP)
	newGuest(t, n, workerTwo).serveAt(t, clusterIP)
	if err := n.SetRoutes(testRoutes); err != nil {
		t.Fatal(err)
	}
	conn, err := n.DialContext(t.Context(), "tcp", port80(clusterIP).String())
	if err != nil || !echoes(conn, "before") {
		t.Fatalf("before: %v", err)
	}
	if err := n.SetRoutes([]machine.Route{{Destination: testRoutes[2].Destination, Via: workerTwo}}); err != nil {
		t.Fatal(err)
	}
	if !echoes(conn, "after") {
		t.Error("the connection ended with its route")
	}
	if !reaches(t.Context(), n, "tcp", clusterIP) {
		t.Error("the new route leads nowhere")
	}
}

func TestMachineAnswersOnlyForWhatIsRoutedThroughIt(t *testing.T) {
	gw := gatewayHardware(t)
	g := &guard{subnet: testSubnet, pods: testPods, gateway: gw}
	g.setRoutes(testRoutes)
	p := &port{} // of both machines, as with sandboxes
	one, two := macOf(workerOne), macOf(workerTwo)
	const high, dns = firstOwnPort + 1, 53
	udp := func(from hardwareAddress, source, destination netip.Addr, port uint16) []byte {
		return udpFrame(from, gw, port80(source), netip.AddrPortFrom(destination, port), "x")
	}
	answer := synFrame(one, gw, port80(clusterIP), netip.AddrPortFrom(gateway, high))
	answer[ethernetHeader+ipv4Header+13] |= byte(header.TCPFlagAck)
	fragment := func(frame []byte, flagsAndOffset uint16) []byte {
		frame = append([]byte(nil), frame...)
		binary.BigEndian.PutUint16(frame[ethernetHeader+6:], flagsAndOffset)
		return frame
	}
	for _, c := range []struct {
		name  string
		frame []byte
		want  bool
	}{
		{"a pod's answer", udp(one, podOfOne, gateway, high), true},
		{"a service's answer", udp(one, clusterIP, gateway, high), true},
		{"a service's answer through another machine", udp(two, clusterIP, gateway, high), true},
		{"a load balancer's answer", udp(one, loadBalancer, gateway, high), true},
		{"a TCP answer", answer, true},
		{"the rest of an answer in fragments", fragment(udp(one, podOfOne, gateway, dns), 100), true},
		{"another machine's pod", udp(one, podOfTwo, gateway, high), false},
		{"an address without a route", udp(one, netip.MustParseAddr("192.168.104.241"), gateway, high), false},
		{"another machine", udp(one, workerTwo, gateway, high), false},
		{"a pod to the outside", udp(one, podOfOne, somewhere, high), false},
		{"a service to the outside", udp(one, clusterIP, somewhere, high), false},
		{"a load balancer to the outside", udp(one, loadBalancer, somewhere, high), false},
		{"a query of a pod", udp(one, podOfOne, gateway, dns), false},
		{"a new TCP connection of a pod", synFrame(one, gw, port80(podOfOne), netip.AddrPortFrom(gateway, high)), false},
		{"a TCP answer in fragments", fragment(answer, 0x2000), false},
		{"a later fragment of a TCP answer", fragment(answer, 1), false},
		{"another protocol", ipv4Frame(one, gw, podOfOne, gateway, 132, make([]byte, 20)), false},
		{"an echo request", ipv4Frame(one, gw, podOfOne, gateway, protocolICMP, append([]byte{8}, make([]byte, 7)...)), false},
		{"an echo reply", ipv4Frame(one, gw, podOfOne, gateway, protocolICMP, make([]byte, 8)), true},
		{"another machine's echo reply", ipv4Frame(one, gw, podOfTwo, gateway, protocolICMP, make([]byte, 8)), false},
		{"the rest of an echo reply in fragments", fragment(ipv4Frame(one, gw, podOfOne, gateway, protocolICMP, make([]byte, 8)), 100), true},
		{"a refused datagram", ipv4Frame(one, gw, podOfOne, gateway, protocolICMP, append([]byte{3, 3}, make([]byte, 34)...)), true},
	} {
		if got := g.admit(p, c.frame); got != c.want {
			t.Errorf("%s: admitted = %t, want %t", c.name, got, c.want)
		}
	}
}

func TestRoutesMustNotTakeThePlaceOfMachines(t *testing.T) {
	n := runNetwork(t, newWorld(t), EgressAll)
	route := func(destination string, via netip.Addr) machine.Route {
		return machine.Route{Destination: netip.MustParsePrefix(destination), Via: via}
	}
	for name, bad := range map[string]machine.Route{
		"none":                {},
		"IPv6":                route("fd00::/64", workerOne),
		"host bits":           route("10.96.0.1/16", workerOne),
		"everything":          route("0.0.0.0/0", workerOne),
		"the subnet":          route("192.168.104.0/24", workerOne),
		"a part of it":        route("192.168.104.240/28", workerOne),
		"the gateway":         route("192.168.104.2/32", workerOne),
		"the machine itself":  route("192.168.104.21/32", workerOne),
		"via the gateway":     route("10.96.0.0/16", gateway),
		"via another network": route("10.96.0.0/16", somewhere),
	} {
		if err := n.SetRoutes([]machine.Route{bad}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// FuzzOnlyAnswersCarryOtherAddresses checks that whatever the gateway gets from a
// machine comes from its own address or answers the gateway.
func FuzzOnlyAnswersCarryOtherAddresses(f *testing.F) {
	gw := gatewayHardware(f)
	one := macOf(workerOne)
	f.Add(udpFrame(one, gw, port80(podOfOne), netip.AddrPortFrom(gateway, firstOwnPort), "x"))
	f.Add(synFrame(one, gw, port80(clusterIP), port80(gateway)))
	f.Add(udpFrame(one, hardwareAddress{0xff}, port80(podOfOne), port80(somewhere), "x"))
	f.Fuzz(func(t *testing.T, frame []byte) {
		g := &guard{subnet: testSubnet, pods: testPods, gateway: gw}
		g.setRoutes(testRoutes)
		if !g.admit(&port{}, frame) || binary.BigEndian.Uint16(frame[12:]) != typeIPv4 {
			return
		}
		packet := frame[ethernetHeader:]
		machine, _ := machineAddress(hardwareAddress(frame[6:12]))
		source, destination := netip.AddrFrom4([4]byte(packet[12:16])), netip.AddrFrom4([4]byte(packet[16:20]))
		if source == machine || frame[0]&1 == 0 && hardwareAddress(frame[:6]) != gw {
			return
		}
		if destination != gateway || packet[9] == protocolTCP && packet[int(packet[0]&0xf)*4+13]&0x12 == 0x02 {
			t.Fatalf("the gateway gets % x", frame)
		}
	})
}
