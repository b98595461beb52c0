package network

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"gvisor.dev/gvisor/pkg/tcpip"

	"github.com/skiff-dev/skiff/vm/machine"
)

// SetRoutes replaces the routes to addresses behind machines. DialContext reaches
// these addresses from then on. A machine may answer from them, but not connect
// from them to anything outside or to a service of the gateway. Open connections
// keep the way that they have.
func (n *Network) SetRoutes(routes []machine.Route) error {
	for _, r := range routes {
		if err := n.checkRoute(r); err != nil {
			return fmt.Errorf("route to %s via %s: %w", r.Destination, r.Via, err)
		}
	}
	table, err := routeTable(n.config.Subnet, routes)
	if err != nil {
		return err
	}
	n.guard.setRoutes(routes)
	n.stack.SetRouteTable(table)
	return nil
}

// checkRoute refuses routes that would take the place of the gateway or of a
// machine.
func (n *Network) checkRoute(r machine.Route) error {
	subnet := n.config.Subnet.Masked()
	inside := subnet.Overlaps(r.Destination)
	switch {
	case !r.Destination.IsValid() || !r.Destination.Addr().Is4() || r.Destination != r.Destination.Masked():
		return fmt.Errorf("the destination is not an IPv4 range")
	case !subnet.Contains(r.Via) || r.Via == Gateway(subnet):
		return fmt.Errorf("the next hop is not a machine of %s", subnet)
	case inside && !r.Destination.IsSingleIP():
		return fmt.Errorf("only single addresses of %s can be routed", subnet)
	case r.Destination.Contains(r.Via) || r.Destination.Contains(Gateway(subnet)):
		return fmt.Errorf("the address belongs to a machine or to the gateway")
	}
	return nil
}

// routeTable returns the stack's table: the machines' subnet, and routes. The
// stack takes the first that matches, so the most specific ones come first.
func routeTable(subnet netip.Prefix, routes []machine.Route) ([]tcpip.Route, error) {
	all := append([]machine.Route{{Destination: subnet.Masked()}}, routes...)
	slices.SortStableFunc(all, func(a, b machine.Route) int { return cmp.Compare(b.Destination.Bits(), a.Destination.Bits()) })
	table := make([]tcpip.Route, 0, len(all))
	for _, r := range all {
		mask := tcpip.MaskFromBytes(net.CIDRMask(r.Destination.Bits(), 32))
		destination, err := tcpip.NewSubnet(tcpipAddress(r.Destination.Addr()), mask)
		if err != nil {
			return nil, fmt.Errorf("route to %s: %w", r.Destination, err)
		}
		route := tcpip.Route{Destination: destination, NIC: nic}
		if r.Via.IsValid() {
			route.Gateway = tcpipAddress(r.Via)
		}
		table = append(table, route)
	}
	return table, nil
}
