package network

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
)

// macPrefix begins every machine's hardware address; the machine's IPv4 address
// follows, so that either one determines the other.
var macPrefix = [2]byte{0x52, 0x55}

// Offsets and values of Ethernet II (IEEE 802.3), ARP (RFC 826) and IPv4 (RFC 791).
const (
	ethernetHeader = 14
	typeIPv4       = 0x0800
	typeARP        = 0x0806
	arpLength      = 28
	ipv4Header     = 20
	// maxAddresses bounds the hardware addresses behind one port: a subnet has
	// 256 at most.
	maxAddresses = 256
)

type hardwareAddress [6]byte

// machineAddress returns the IPv4 address that belongs to a machine's hardware
// address, and false if it is not a machine's.
func machineAddress(mac hardwareAddress) (netip.Addr, bool) {
	if [2]byte(mac[:2]) != macPrefix {
		return netip.Addr{}, false
	}
	return netip.AddrFrom4([4]byte(mac[2:])), true
}

// guard decides which frames of machines reach the switch. A machine may speak
// only as itself, and no frame may carry an address that the host would take
// for one of its own.
type guard struct {
	subnet, pods netip.Prefix
	gateway      hardwareAddress

	mu    sync.Mutex // guards ports
	ports map[hardwareAddress]*port
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
		return validIPv4(payload, address, g.subnet, g.pods, destination == g.gateway)
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

// validIPv4 reports whether a packet's source is the machine itself or, between
// machines, one of the cluster's pods, and whether its destination is an address
// that can be on a wire.
func validIPv4(packet []byte, address netip.Addr, subnet, pods netip.Prefix, toGateway bool) bool {
	if len(packet) < ipv4Header || packet[0]>>4 != 4 {
		return false
	}
	source := netip.AddrFrom4([4]byte(packet[12:16]))
	destination := netip.AddrFrom4([4]byte(packet[16:20]))
	if source != address && (toGateway || subnet.Contains(source) || !pods.Contains(source)) {
		return false
	}
	return !slices.ContainsFunc(neverOnAWire, func(p netip.Prefix) bool { return p.Contains(destination) })
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
