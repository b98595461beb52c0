package network

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"github.com/skiff-dev/skiff/internal/runtest"
)

var deviceAddress = netip.MustParseAddr("192.168.104.3")

// device is a TUN device whose host has a TCP/IP stack of its own.
type device struct {
	stack *stack.Stack
	link  *channel.Endpoint
	once  sync.Once
	ended chan struct{}
	ctx   context.Context // ends with the device: Read has none
	stop  context.CancelFunc
}

// newDevice returns a device whose host has the given address.
func newDevice(t testing.TB, at netip.Addr) *device {
	t.Helper()
	link := channel.New(1024, AttachMTU, "")
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4},
	})
	if err := s.CreateNIC(1, link); err != nil {
		t.Fatal(err)
	}
	own := tcpip.ProtocolAddress{Protocol: ipv4.ProtocolNumber, AddressWithPrefix: tcpipAddress(at).WithPrefix()}
	if err := s.AddProtocolAddress(1, own, stack.AddressProperties{}); err != nil {
		t.Fatal(err)
	}
	s.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: 1}})
	d := &device{stack: s, link: link, ended: make(chan struct{})}
	d.ctx, d.stop = context.WithCancel(context.Background())
	t.Cleanup(func() { _ = d.Close(); s.Close() })
	return d
}

func (d *device) Read(b []byte) (int, error) {
	packet := d.link.ReadContext(d.ctx)
	if packet == nil {
		return 0, errors.New("the device is gone")
	}
	defer packet.DecRef()
	return copy(b, packet.ToView().AsSlice()), nil
}

func (d *device) Write(b []byte) (int, error) {
	packet := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(b)})
	defer packet.DecRef()
	d.link.InjectInbound(ipv4.ProtocolNumber, packet)
	return len(b), nil
}

func (d *device) Close() error {
	d.once.Do(func() { close(d.ended); d.stop() })
	return nil
}

// attachmentOf leads a device to the addresses behind a network's machines.
func attachmentOf(n *Network, d *device) Attachment {
	return Attachment{
		Device: d, Host: deviceAddress, Dial: n.DialContext, Local: n.Local,
		Allows: func(a netip.Addr) bool {
			return a == podOfOne || a == clusterIP || a == loadBalancer || a == workerOne || a == served.Addr()
		},
	}
}

func TestADeviceReachesAddressesOfTheCluster(t *testing.T) {
	n := runNetwork(t, newWorld(t), EgressAll)
	one := newGuest(t, n, workerOne)
	if err := n.SetRoutes(testRoutes); err != nil {
		t.Fatal(err)
	}
	d := newDevice(t, deviceAddress)
	runtest.Start(t, func(ctx context.Context) error { return Attach(ctx, attachmentOf(n, d)) })
	host := &guest{stack: d.stack, address: deviceAddress}
	for _, at := range []netip.Addr{podOfOne, clusterIP, loadBalancer} {
		one.serveAt(t, at)
		conn, err := host.dialTCP(t.Context(), port80(at))
		if err != nil {
			t.Fatalf("%s: %v", at, err)
		}
		if !echoes(conn, strings.Repeat("much ", 30_000)) {
			t.Errorf("no answer over TCP from %s", at)
		}
		if conn.Close() != nil {
			t.Error("cannot close the connection")
		}
		if !echoes(host.dialUDP(t, port80(at)), strings.Repeat("x", 9000)) {
			t.Errorf("no answer over UDP from %s", at)
		}
	}
}

func TestADeviceRefusesEverythingElse(t *testing.T) {
	w := newWorld(t)
	n := runNetwork(t, w, EgressAll)
	newGuest(t, n, workerOne)
	d := newDevice(t, deviceAddress)
	runtest.Start(t, func(ctx context.Context) error { return Attach(ctx, attachmentOf(n, d)) })
	host := &guest{stack: d.stack, address: deviceAddress}
	for name, to := range map[string]netip.AddrPort{
		"an address that is not the cluster's": port80(somewhere), "the gateway": port80(gateway), "a port where nobody listens": port80(workerOne),
	} {
		if conn, err := host.dialTCP(t.Context(), to); err == nil || !strings.Contains(err.Error(), "refused") {
			t.Errorf("%s: %v, %v", name, conn, err)
		}
	}
	if seen := w.seen(); len(seen) > 0 {
		t.Errorf("dialed %q", seen)
	}
}

// served is an address of the load balancers' range that this process has, as for a
// Gateway.
var served = netip.MustParseAddrPort("192.168.104.199:8000")

func TestADeviceReachesServicesOfThisProcess(t *testing.T) {
	n := runNetwork(t, newWorld(t), EgressNone)
	listener, err := n.ListenAt(served.Addr(), served.Port())
	if err != nil {
		t.Fatal(err)
	}
	clients := make(chan string, 1)
	go accepting(listener, func(conn net.Conn) {
		clients <- conn.RemoteAddr().(*net.TCPAddr).IP.String()
		go echo(conn)
	})
	d := newDevice(t, deviceAddress)
	runtest.Start(t, func(ctx context.Context) error { return Attach(ctx, attachmentOf(n, d)) })
	host := &guest{stack: d.stack, address: deviceAddress}
	conn, err := host.dialTCP(t.Context(), served)
	if err != nil || !echoes(conn, strings.Repeat("much ", 30_000)) {
		t.Fatalf("no answer: %v", err)
	}
	if got := <-clients; got != deviceAddress.String() {
		t.Errorf("the service sees %s", got)
	}
	refused := func(what string, to netip.AddrPort) {
		t.Helper()
		if conn, err := host.dialTCP(t.Context(), to); err == nil || !strings.Contains(err.Error(), "refused") {
			t.Errorf("%s: %v, %v", what, conn, err)
		}
	}
	refused("another port", port80(served.Addr()))
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if !echoes(conn, "still") {
		t.Error("the connection ended with the listener")
	}
	refused("a closed listener", served)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

// pings reports whether an address answers an echo request in time.
func pings(t *testing.T, d *device, to netip.Addr, payload string, within time.Duration) bool {
	t.Helper()
	conn, err := dialEcho(d.stack, to)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	request := header.ICMPv4(append(make([]byte, header.ICMPv4MinimumSize), payload...))
	request.SetType(header.ICMPv4Echo)
	request.SetSequence(7)
	if _, err := conn.Write(request); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(within))
	reply := header.ICMPv4(make([]byte, maxDatagram))
	n, err := conn.Read(reply)
	return err == nil && reply.Type() == header.ICMPv4EchoReply && reply.Sequence() == 7 && string(reply[header.ICMPv4MinimumSize:n]) == payload
}

func TestADevicePingsAddressesOfTheCluster(t *testing.T) {
	n := runNetwork(t, newWorld(t), EgressAll)
	one := newGuest(t, n, workerOne)
	one.serveAt(t, podOfOne)
	if err := n.SetRoutes(testRoutes); err != nil {
		t.Fatal(err)
	}
	// A connection is tried again until the machine has joined; an echo request is not.
	conn, err := n.DialContext(t.Context(), "tcp", port80(podOfOne).String())
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	d := newDevice(t, deviceAddress)
	runtest.Start(t, func(ctx context.Context) error { return Attach(ctx, attachmentOf(n, d)) })
	for _, to := range []netip.Addr{workerOne, podOfOne} {
		for _, payload := range []string{"", "hello", strings.Repeat("x", 9000)} { // fragments
			if !pings(t, d, to, payload, time.Minute) {
				t.Errorf("%s does not answer %d bytes", to, len(payload))
			}
		}
	}
	for name, to := range map[string]netip.Addr{"an address without a server": clusterIP, "the gateway": gateway, "an address outside": somewhere} {
		if pings(t, d, to, "hello", time.Second) {
			t.Errorf("%s answers", name)
		}
	}
}

func TestADeviceThatPingsEverywhereUsesLittle(t *testing.T) {
	dials := 0
	p := &pinger{
		host: deviceAddress, allows: func(netip.Addr) bool { return true }, open: &openFlows{}, reply: func([]byte) {},
		dial: func(_ context.Context, network, _ string) (net.Conn, error) {
			if dials++; network != "icmp" {
				t.Errorf("dialed %s", network)
			}
			conn, _ := net.Pipe()
			return discarding{conn}, nil
		},
	}
	defer p.open.end()
	for i := range 2 * maxPings {
		p.forward(echoRequest(podOfOne, uint16(i)))
		p.forward(echoRequest(podOfOne, uint16(i))) // the same program
	}
	if dials != maxPings {
		t.Errorf("%d connections, want %d", dials, maxPings)
	}
}

// discarding is a connection that takes everything.
type discarding struct{ net.Conn }

func (discarding) Write(b []byte) (int, error) { return len(b), nil }

// echoRequest is an IP packet of the host.
func echoRequest(to netip.Addr, identifier uint16) []byte {
	message := header.ICMPv4(make([]byte, header.ICMPv4MinimumSize))
	message.SetType(header.ICMPv4Echo)
	message.SetIdent(identifier)
	message.SetChecksum(header.ICMPv4Checksum(message, 0))
	return ipv4Frame(hardwareAddress{}, hardwareAddress{}, deviceAddress, to, protocolICMP, message)[ethernetHeader:]
}

// FuzzOnlyEchoRequestsAreForwarded checks that what leaves is an echo request to an
// address that is allowed, whatever the host sends.
func FuzzOnlyEchoRequestsAreForwarded(f *testing.F) {
	f.Add(echoRequest(podOfOne, 1))
	f.Add(echoRequest(somewhere, 1))
	f.Fuzz(func(t *testing.T, packet []byte) {
		if !isFrom(packet, deviceAddress) || packet[9] != protocolICMP {
			return
		}
		p := &pinger{
			host: deviceAddress, allows: func(a netip.Addr) bool { return a == podOfOne }, open: &openFlows{}, reply: func([]byte) {},
			dial: func(_ context.Context, _, address string) (net.Conn, error) {
				if address != netip.AddrPortFrom(podOfOne, 0).String() {
					t.Errorf("dialed %s", address)
				}
				conn, _ := net.Pipe()
				return discarding{conn}, nil
			},
		}
		p.forward(packet)
		p.open.end()
	})
}

func TestADeviceForwardsForNobodyElse(t *testing.T) {
	n := runNetwork(t, newWorld(t), EgressAll)
	newGuest(t, n, workerOne).serveAt(t, podOfOne)
	if err := n.SetRoutes(testRoutes); err != nil {
		t.Fatal(err)
	}
	neighbour := netip.MustParseAddr("192.168.1.50")
	d := newDevice(t, neighbour)
	runtest.Start(t, func(ctx context.Context) error { return Attach(ctx, attachmentOf(n, d)) })
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if conn, err := (&guest{stack: d.stack, address: neighbour}).dialTCP(ctx, port80(podOfOne)); err == nil {
		_ = conn.Close()
		t.Error("a host of the network reaches the cluster")
	}
}

// The connections of a device end with it, and Attach returns.
func TestADeviceThatIsRemovedEndsItsConnections(t *testing.T) {
	dialed := make(chan net.Conn, 1)
	d := newDevice(t, deviceAddress)
	attached := make(chan error, 1)
	go func() {
		attached <- Attach(t.Context(), Attachment{
			Device: d, Host: deviceAddress, Allows: func(netip.Addr) bool { return true },
			Dial: func(context.Context, string, string) (net.Conn, error) {
				inside, outside := net.Pipe()
				dialed <- outside
				return inside, nil
			},
		})
	}()
	if _, err := (&guest{stack: d.stack}).dialTCP(t.Context(), port80(podOfOne)); err != nil {
		t.Fatal(err)
	}
	outside := <-dialed
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	_ = outside.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := outside.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the connection: %v", err)
	}
	select {
	case err := <-attached:
		if err == nil || !strings.Contains(err.Error(), "the device is gone") {
			t.Errorf("Attach = %v", err)
		}
	case <-time.After(time.Minute):
		t.Error("Attach does not return")
	}
}
