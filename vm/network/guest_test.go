package network

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/link/ethernet"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"github.com/skiff-dev/skiff/internal/addressing"
	"github.com/skiff-dev/skiff/internal/runtest"
)

var (
	testSubnet = netip.MustParsePrefix("192.168.104.0/24")
	testPods   = netip.MustParsePrefix("10.244.0.0/16")
	gateway    = netip.MustParseAddr("192.168.104.2")
	// somewhere is an address outside that the tests' world answers at.
	somewhere = netip.MustParseAddr("192.0.2.7")
)

func macOf(a netip.Addr) hardwareAddress {
	b := a.As4()
	return hardwareAddress{0x52, 0x55, b[0], b[1], b[2], b[3]}
}

func gatewayHardware(t testing.TB) hardwareAddress {
	mac, err := net.ParseMAC(gatewayMAC)
	if err != nil {
		t.Fatal(err)
	}
	return hardwareAddress(mac)
}

// world stands for everything outside: it records what is dialed and connects
// every dial to a server on the host's loopback.
type world struct {
	tcp, udp string // servers' addresses
	silent   netip.Addr
	refuses  string // address where nobody listens

	mu     sync.Mutex // guards dialed
	dialed []string
}

func (w *world) dial(ctx context.Context, network, address string) (net.Conn, error) {
	w.mu.Lock()
	w.dialed = append(w.dialed, network+" "+address)
	w.mu.Unlock()
	if at, err := netip.ParseAddrPort(address); err == nil && at.Addr() == w.silent {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if address == w.refuses {
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	}
	if network == "udp4" {
		return (&net.Dialer{}).DialContext(ctx, network, w.udp)
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp4", w.tcp)
}

func (w *world) seen() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.dialed...)
}

// newWorld starts an echo server for TCP and one for UDP.
func newWorld(t testing.TB) *world {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	packets, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serveEcho(t, listener, packets)
	return &world{
		tcp: listener.Addr().String(), udp: packets.LocalAddr().String(),
		silent: netip.MustParseAddr("192.0.2.77"),
	}
}

// serveEcho sends back what it receives, except "no answer" in a datagram, until the
// end of the test closes both.
func serveEcho(t testing.TB, listener net.Listener, packets net.PacketConn) {
	t.Cleanup(func() { _, _ = listener.Close(), packets.Close() })
	go accepting(listener, func(conn net.Conn) { go echo(conn) })
	go func() {
		b := make([]byte, maxDatagram)
		for {
			n, from, err := packets.ReadFrom(b)
			if err != nil {
				return
			}
			if string(b[:n]) != "no answer" {
				_, _ = packets.WriteTo(b[:n], from)
			}
		}
	}()
}

// accepting calls handle with every connection until the listener is closed.
func accepting(listener net.Listener, handle func(net.Conn)) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		handle(conn)
	}
}

// echo sends back what it receives on a connection, and closes it at the end.
func echo(conn net.Conn) {
	_, _ = io.Copy(conn, conn)
	_ = conn.Close()
}

// runNetwork runs a network in that world until the test ends.
func runNetwork(t testing.TB, w *world, egress Egress) *Network {
	t.Helper()
	return runConfig(t, w, Config{Subnet: testSubnet, Pods: testPods, Egress: egress})
}

func runConfig(t testing.TB, w *world, config Config) *Network {
	t.Helper()
	config.Socket, config.Log = filepath.Join(t.TempDir(), "net.sock"), slog.New(slog.DiscardHandler)
	n, err := newNetwork(config, w.dial)
	if err != nil {
		t.Fatal(err)
	}
	runtest.Start(t, n.Run)
	return n
}

// join connects a machine that speaks raw frames.
func (n *Network) join(t testing.TB) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", n.config.Socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// guest is a machine with a TCP/IP stack of its own.
type guest struct {
	stack   *stack.Stack
	address netip.Addr
}

// newGuest joins the network as the machine with that address.
func newGuest(t testing.TB, n *Network, at netip.Addr) *guest {
	t.Helper()
	conn := n.join(t)
	mac := macOf(at)
	link := channel.New(1024, addressing.MTU, tcpip.LinkAddress(mac[:]))
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol},
	})
	if err := s.CreateNIC(1, ethernet.New(link)); err != nil {
		t.Fatal(err)
	}
	own := tcpip.AddressWithPrefix{Address: tcpipAddress(at), PrefixLen: testSubnet.Bits()}
	if err := s.AddProtocolAddress(1, tcpip.ProtocolAddress{Protocol: ipv4.ProtocolNumber, AddressWithPrefix: own}, stack.AddressProperties{}); err != nil {
		t.Fatal(err)
	}
	s.SetRouteTable([]tcpip.Route{
		{Destination: own.Subnet(), NIC: 1},
		{Destination: header.IPv4EmptySubnet, Gateway: tcpipAddress(gateway), NIC: 1},
	})
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() {
		cancel()
		s.Close()
	})
	go func() {
		for {
			packet := link.ReadContext(ctx)
			if packet == nil {
				return
			}
			frame := packet.ToView().AsSlice()
			_, err := conn.Write(framed(frame))
			packet.DecRef()
			if err != nil {
				return
			}
		}
	}()
	go func() {
		var head [4]byte
		for {
			if _, err := io.ReadFull(conn, head[:]); err != nil {
				return
			}
			frame := make([]byte, binary.BigEndian.Uint32(head[:]))
			if _, err := io.ReadFull(conn, frame); err != nil {
				return
			}
			packet := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(frame)})
			link.InjectInbound(0, packet) // the protocol is in the Ethernet header
			packet.DecRef()
		}
	}()
	return &guest{stack: s, address: at}
}

func (g *guest) dialTCP(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	return gonet.DialContextTCP(ctx, g.stack, tcpip.FullAddress{NIC: 1, Addr: tcpipAddress(to.Addr()), Port: to.Port()}, ipv4.ProtocolNumber)
}

func (g *guest) dialUDP(t testing.TB, to netip.AddrPort) net.Conn {
	t.Helper()
	conn, err := gonet.DialUDP(g.stack, nil, &tcpip.FullAddress{NIC: 1, Addr: tcpipAddress(to.Addr()), Port: to.Port()}, ipv4.ProtocolNumber)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// echoes reports whether what is sent comes back.
func echoes(conn net.Conn, text string) bool {
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := conn.Write([]byte(text)); err != nil {
		return false
	}
	answer := make([]byte, len(text))
	_, err := io.ReadFull(conn, answer)
	return err == nil && string(answer) == text
}

// udpFrame is an Ethernet frame that carries a UDP datagram.
func udpFrame(from, to hardwareAddress, source, destination netip.AddrPort, payload string) []byte {
	segment := make([]byte, header.UDPMinimumSize+len(payload))
	header.UDP(segment).Encode(&header.UDPFields{SrcPort: source.Port(), DstPort: destination.Port(), Length: uint16(len(segment))})
	copy(segment[header.UDPMinimumSize:], payload)
	return ipv4Frame(from, to, source.Addr(), destination.Addr(), uint8(header.UDPProtocolNumber), segment)
}

// synFrame is an Ethernet frame that asks for a TCP connection.
func synFrame(from, to hardwareAddress, source, destination netip.AddrPort) []byte {
	segment := make([]byte, header.TCPMinimumSize)
	fields := header.TCPFields{
		SrcPort: source.Port(), DstPort: destination.Port(), SeqNum: 1, DataOffset: header.TCPMinimumSize,
		Flags: header.TCPFlagSyn, WindowSize: 65000,
	}
	header.TCP(segment).Encode(&fields)
	sum := header.PseudoHeaderChecksum(header.TCPProtocolNumber, tcpipAddress(source.Addr()), tcpipAddress(destination.Addr()), uint16(len(segment)))
	header.TCP(segment).SetChecksum(^checksum.Checksum(segment, sum))
	return ipv4Frame(from, to, source.Addr(), destination.Addr(), uint8(header.TCPProtocolNumber), segment)
}

func ipv4Frame(from, to hardwareAddress, source, destination netip.Addr, protocol uint8, payload []byte) []byte {
	frame := make([]byte, ethernetHeader+header.IPv4MinimumSize+len(payload))
	header.Ethernet(frame).Encode(&header.EthernetFields{
		SrcAddr: tcpip.LinkAddress(from[:]), DstAddr: tcpip.LinkAddress(to[:]), Type: header.IPv4ProtocolNumber,
	})
	packet := header.IPv4(frame[ethernetHeader:])
	packet.Encode(&header.IPv4Fields{
		TotalLength: uint16(len(packet)), TTL: 64, Protocol: protocol,
		SrcAddr: tcpipAddress(source), DstAddr: tcpipAddress(destination),
	})
	packet.SetChecksum(^packet.CalculateChecksum())
	copy(packet[header.IPv4MinimumSize:], payload)
	return frame
}

// arpFrame is an ARP request or reply by which a machine says who it is.
func arpFrame(from, to, sender hardwareAddress, senderAddress, target netip.Addr) []byte {
	frame := bytes.Join([][]byte{to[:], from[:], {0x08, 0x06}, {0, 1, 8, 0, 6, 4, 0, 1}, sender[:]}, nil)
	a, b := senderAddress.As4(), target.As4()
	frame = append(append(frame, a[:]...), make([]byte, 6)...)
	return append(frame, b[:]...)
}
