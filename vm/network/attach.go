package network

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

// AttachMTU is the largest packet of a device that is attached. It is far above
// addressing.MTU because the packets never leave the host.
const AttachMTU = 65520

const (
	// attachedQueue is how many packets may wait for the device.
	attachedQueue = 1024
	// maxAttached bounds the connections and, separately, the UDP flows of a device,
	// each of which may hold a buffer of maxDatagram bytes.
	maxAttached, maxAttachedFlows = 4096, 256
)

// Attachment is a device by which programs of this host reach addresses of a cluster.
type Attachment struct {
	// Device carries one IP packet with each Read and Write. Attach closes it.
	Device io.ReadWriteCloser
	// Host is the device's own address. Packets from others, which the host would
	// forward for its network, are dropped.
	Host netip.Addr
	// Allows reports whether the device may reach an address.
	Allows func(netip.Addr) bool
	// Dial connects to an address. network is "tcp", "udp" or "icmp".
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Local is Network.Local of the cluster's network; may be nil.
	Local func(netip.AddrPort) (take func(net.Conn) bool, own bool)
}

// Attach forwards the TCP connections, UDP datagrams and ICMP echo requests that the
// host begins through a device, until ctx ends or the device fails. Nothing can be begun
// in the other direction. It returns nil if ctx has ended.
func Attach(ctx context.Context, a Attachment) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	link := channel.New(attachedQueue, AttachMTU, "")
	s, err := attachedStack(link)
	if err != nil {
		return errors.Join(fmt.Errorf("attach a device: %w", err), a.Device.Close())
	}
	open := &openFlows{}
	a.forward(s, open)
	pings := &pinger{host: a.Host, allows: a.Allows, dial: a.Dial, open: open, reply: func(packet []byte) { _, _ = a.Device.Write(packet) }}
	var writer sync.WaitGroup
	writer.Go(func() { a.write(ctx, link) })
	stop := context.AfterFunc(ctx, func() { _ = a.Device.Close() })
	err = a.read(link, pings)
	ended := ctx.Err() != nil
	cancel()
	stop()
	_ = a.Device.Close()
	writer.Wait()
	open.end()
	s.Close()
	if ended {
		return nil
	}
	return fmt.Errorf("read from the device: %w", err)
}

// attachedStack returns a stack that accepts packets to any address.
func attachedStack(link stack.LinkEndpoint) (*stack.Stack, error) {
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol},
	})
	if err := s.CreateNIC(nic, link); err != nil {
		return nil, fmt.Errorf("create the interface: %s", err)
	}
	s.SetSpoofing(nic, true)
	s.SetPromiscuousMode(nic, true)
	s.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: nic}})
	return s, nil
}

// forward makes the stack forward what the host begins.
func (a Attachment) forward(s *stack.Stack, open *openFlows) {
	host := netip.PrefixFrom(a.Host, a.Host.BitLen())
	route := func(target netip.AddrPort) []netip.AddrPort {
		if !a.Allows(target.Addr()) {
			return nil
		}
		return []netip.AddrPort{target}
	}
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		return a.Dial(ctx, network[:len("tcp")], address) // without the version of IP
	}
	(&tcpForwarder{
		subnet: host, route: route, refused: func(netip.AddrPort) {}, dial: dial, open: open,
		connections: &quota{limit: maxAttached}, dials: &quota{limit: maxDials}, local: a.Local,
	}).attach(s)
	(&udpForwarder{subnet: host, route: route, dial: dial, flows: &quota{limit: maxAttachedFlows}, open: open}).attach(s)
}

// read hands the host's packets to the stack, and those of ICMP to pings, until the device
// fails.
func (a Attachment) read(link *channel.Endpoint, pings *pinger) error {
	packet := make([]byte, AttachMTU)
	for {
		n, err := a.Device.Read(packet)
		if err != nil {
			return err
		}
		if !isFrom(packet[:n], a.Host) {
			continue
		}
		if packet[9] == protocolICMP {
			pings.forward(packet[:n])
			continue
		}
		inbound := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(packet[:n])})
		link.InjectInbound(ipv4.ProtocolNumber, inbound)
		inbound.DecRef()
	}
}

// isFrom reports whether a packet is an IPv4 packet with TCP, UDP or ICMP from an address.
func isFrom(packet []byte, host netip.Addr) bool {
	if len(packet) < ipv4Header || packet[0]>>4 != 4 {
		return false
	}
	protocol := packet[9]
	return (protocol == protocolTCP || protocol == protocolUDP || protocol == protocolICMP) && netip.AddrFrom4([4]byte(packet[12:16])) == host
}

// write sends the stack's packets to the host. A packet that the device refuses is
// lost, as on a wire.
func (a Attachment) write(ctx context.Context, link *channel.Endpoint) {
	for {
		outbound := link.ReadContext(ctx)
		if outbound == nil {
			return
		}
		view := outbound.ToView()
		_, _ = a.Device.Write(view.AsSlice())
		view.Release()
		outbound.DecRef()
	}
}
