package network

import (
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/skiff-dev/skiff/internal/addressing"
	"github.com/skiff-dev/skiff/vm/machine"
	"github.com/skiff-dev/skiff/vm/network/impair"
)

// Offsets and values of Ethernet II (IEEE 802.3), ARP (RFC 826), IPv4 (RFC 791) and
// IPv6 (RFC 8200).
const (
	ethernetHeader = 14
	typeIPv4       = 0x0800
	typeARP        = 0x0806
	typeIPv6       = 0x86dd
	arpLength      = 28
	ipv4Header     = 20
	ipv6Header     = 40
	tcpHeader      = 20
	udpHeader      = 8
	protocolICMP   = 1
	protocolTCP    = 6
	protocolUDP    = 17
	// maxAddresses bounds the hardware addresses behind one port: a subnet has
	// 256 at most.
	maxAddresses = 256
)

type hardwareAddress [6]byte

// machineAddress returns the IPv4 address that belongs to a machine's hardware
// address, and false if it is not a machine's.
func machineAddress(mac hardwareAddress) (netip.Addr, bool) { return addressing.Machine(mac) }

// guard decides which frames of machines reach the switch. A machine may speak
// only as itself, and answer for the addresses that are routed through it. No
// frame may carry an address that the host would take for one of its own.
type guard struct {
	subnet, pods   netip.Prefix
	subnet6, pods6 netip.Prefix // invalid if IPv6 is refused
	gateway        hardwareAddress
	routes         atomic.Pointer[[]machine.Route]
	links          atomic.Pointer[impair.Links] // nil if all are good

	mu    sync.Mutex // guards ports
	ports map[hardwareAddress]*port
}

// impair changes which links are impaired.
func (g *guard) impair(links impair.Links) {
	if len(links) == 0 {
		g.links.Store(nil)
		return
	}
	links = maps.Clone(links)
	g.links.Store(&links)
}

func (g *guard) setRoutes(routes []machine.Route) {
	routes = slices.Clone(routes)
	g.routes.Store(&routes)
}

// answersFor reports whether a machine may answer the gateway from an address.
// A pod is behind one machine. A service is behind all of them, and its open
// connections keep their machine when the route changes.
func (g *guard) answersFor(machine, source netip.Addr) bool {
	routes := g.routes.Load()
	if routes == nil {
		return false
	}
	for _, r := range *routes {
		if r.Destination.Contains(source) && (r.Via == machine || !g.pods.Contains(source)) {
			return true
		}
	}
	return false
}

// admit reports whether the switch may see a frame that p sent. The first port
// that uses a hardware address keeps it until release.
func (g *guard) admit(p *port, frame []byte) bool {
	if len(frame) < ethernetHeader {
		return false
	}
	destination, source := hardwareAddress(frame[:6]), hardwareAddress(frame[6:12])
	address, ok := machineAddress(source)
	if !ok || !g.subnet.Contains(address) || !validFrame(g, destination, source, address, frame) {
		return false
	}
	return g.bind(p, source)
}

func validFrame(g *guard, destination, source hardwareAddress, address netip.Addr, frame []byte) bool {
	payload := frame[ethernetHeader:]
	switch binary.BigEndian.Uint16(frame[12:]) {
	case typeARP:
		return validARP(payload, source, address)
	case typeIPv4:
		return g.validIPv4(payload, address, destination)
	case typeIPv6:
		return g.validIPv6(payload, address, destination)
	default:
		return false
	}
}

// validARP reports whether an ARP packet (IPv4 over Ethernet) names its true
// sender. A probe (RFC 5227) has no sender address yet.
func validARP(packet []byte, source hardwareAddress, address netip.Addr) bool {
	if len(packet) < arpLength || hardwareAddress(packet[8:14]) != source {
		return false
	}
	sender := netip.AddrFrom4([4]byte(packet[14:18]))
	return sender == address || sender.IsUnspecified()
}

// validIPv4 reports whether a packet has a source that the machine may use, and a
// destination that can be on a wire. Between machines the source may be a pod. To
// the gateway it may be an address that is routed through the machine, if the
// packet answers something that the gateway began.
func (g *guard) validIPv4(packet []byte, address netip.Addr, to hardwareAddress) bool {
	if len(packet) < ipv4Header || packet[0]>>4 != 4 {
		return false
	}
	source := netip.AddrFrom4([4]byte(packet[12:16]))
	destination := netip.AddrFrom4([4]byte(packet[16:20]))
	if slices.ContainsFunc(neverOnAWire, func(p netip.Prefix) bool { return p.Contains(destination) }) {
		return false
	}
	switch group := to[0]&1 != 0; {
	case source == address:
		return true
	case group: // the gateway receives it as well
		return false
	case to == g.gateway:
		return destination == Gateway(g.subnet) && g.answersFor(address, source) && isAnswer(packet)
	default:
		return !g.subnet.Contains(source) && g.pods.Contains(source)
	}
}

// isAnswer reports whether a packet to the gateway can only belong to a connection
// or flow that the gateway began: it opens no TCP connection, and no service of
// the gateway gets it.
func isAnswer(packet []byte) bool {
	size := int(packet[0]&0xf) * 4
	if size < ipv4Header || len(packet) < size {
		return false
	}
	body, fragment := packet[size:], binary.BigEndian.Uint16(packet[6:])
	const moreFragments, offsetMask = 0x2000, 0x1fff
	first := fragment&offsetMask == 0
	switch packet[9] {
	case protocolTCP:
		// A later fragment could change the flags of the first.
		const flags, syn, ack = 13, 0x02, 0x10
		return first && fragment&moreFragments == 0 && len(body) >= tcpHeader && body[flags]&(syn|ack) != syn
	case protocolUDP:
		return !first || len(body) >= udpHeader && binary.BigEndian.Uint16(body[2:]) >= firstOwnPort
	case protocolICMP:
		const echoReply, unreachable, timeExceeded = 0, 3, 11
		return !first || len(body) > 0 && (body[0] == echoReply || body[0] == unreachable || body[0] == timeExceeded)
	default:
		return false
	}
}

// bind gives a hardware address to a port, and reports false if another one has
// it or the port has too many.
func (g *guard) bind(p *port, mac hardwareAddress) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if owner, taken := g.ports[mac]; taken {
		return owner == p
	}
	if len(g.ports) >= maxAddresses {
		return false
	}
	if g.ports == nil {
		g.ports = map[hardwareAddress]*port{}
	}
	g.ports[mac] = p
	return true
}

// release frees the hardware addresses of a port whose machine has left.
func (g *guard) release(p *port) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for mac, owner := range g.ports {
		if owner == p {
			delete(g.ports, mac)
		}
	}
}
