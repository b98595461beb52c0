package network

import (
	"net/netip"

	"github.com/skiff-dev/skiff/internal/addressing"
)

// Next headers of IPv6 (RFC 8200, section 4; RFC 6275, section 6.1).
const (
	headerHopByHop    = 0
	headerRouting     = 43
	headerFragment    = 44
	headerICMPv6      = 58
	headerDestination = 60
	headerMobility    = 135
)

// validIPv6 reports whether a packet goes from a machine, or a pod, to another one.
// There is nothing else: the gateway has no IPv6. Machines know each other's hardware
// addresses, so neighbour discovery, with which one could take the place of another,
// has no use and is refused, as is everything to a group.
func (g *guard) validIPv6(packet []byte, address netip.Addr, to hardwareAddress) bool {
	if !g.subnet6.IsValid() || len(packet) < ipv6Header || packet[0]>>4 != 6 {
		return false
	}
	if group := to[0]&1 != 0; group || to == g.gateway {
		return false
	}
	source, destination := netip.AddrFrom16([16]byte(packet[8:24])), netip.AddrFrom16([16]byte(packet[24:40]))
	own := addressing.IPv6(g.subnet6, address)
	if source != own && !g.pods6.Contains(source) {
		return false
	}
	if !g.subnet6.Contains(destination) && !g.pods6.Contains(destination) {
		return false
	}
	return admitsHeader(packet[6], packet[ipv6Header:])
}

// admitsHeader reports whether a packet may have what follows the IPv6 header.
// Neighbour discovery must not hide behind an extension header. Behind a fragment's
// header the receiving kernel refuses it (RFC 6980).
func admitsHeader(next byte, body []byte) bool {
	switch next {
	case headerHopByHop, headerRouting, headerDestination, headerMobility:
		return false
	case headerFragment:
		return len(body) > 0 && body[0] != headerFragment && admitsHeader(body[0], nil)
	case headerICMPv6:
		const firstDiscovery, lastDiscovery = 133, 137 // RFC 4861
		return len(body) == 0 || body[0] < firstDiscovery || body[0] > lastDiscovery
	default:
		return true
	}
}
