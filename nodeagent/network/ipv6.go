package network

import (
	"net/netip"

	"github.com/skiff-dev/skiff/internal/addressing"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// neighbour is a node on the same link.
type neighbour struct {
	address  netip.Addr
	hardware [6]byte
}

// key identifies a neighbour in its table.
func (n neighbour) key() netip.Addr { return n.address }

// desiredNeighbours returns the other nodes with IPv6. All their addresses follow from
// the IPv4 address, so nobody is asked for them, and nobody can answer for another.
func desiredNeighbours(node nodeconfig.Node, addresses []netip.Addr) []neighbour {
	var all []neighbour
	for _, address := range addresses {
		if address != node.Network.Address.Addr() {
			all = append(all, neighbour{addressing.IPv6(node.Network.Address6, address), addressing.Hardware(address)})
		}
	}
	return all
}

// desiredRoutes6 returns the IPv6 routes: to the other nodes, to their pods, and to
// services, whose addresses the service proxy translates once a packet has a route.
// Without a default route, connections to all other addresses fail at once.
func desiredRoutes6(ranges map[string]place, node nodeconfig.Node, neighbours []neighbour) []route {
	pods := node.Kubernetes.PodCIDR6.Masked()
	want := []route{{to: pods}, {to: node.Kubernetes.ServiceCIDR6.Masked(), direct: true}}
	for _, n := range neighbours {
		want = append(want, route{to: netip.PrefixFrom(n.address, n.address.BitLen()), direct: true})
	}
	for name, p := range ranges {
		if name != node.Name && p.pods6.IsValid() {
			want = append(want, route{to: p.pods6, via: addressing.IPv6(node.Network.Address6, p.address)})
		}
	}
	return inOrder(want)
}
