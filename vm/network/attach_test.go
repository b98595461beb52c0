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
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol},
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
		Device: d, Host: deviceAddress, Dial: n.DialContext,
		Allows: func(a netip.Addr) bool { return a == podOfOne || a == clusterIP || a == loadBalancer || a == workerOne },
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
	_ = outside.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := outside.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the connection: %v", err)
	}
	select {
	case err := <-attached:
		if err == nil || !strings.Contains(err.Error(), "the device is gone") {
			t.Errorf("Attach = %v", err)
		}
	case <-time.After(5 * time.Second):
		t.Error("Attach does not return")
	}
}
