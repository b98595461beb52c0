package sandbox

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/skiff-dev/skiff/vm/machine"
)

// routeProtocol marks the routes of setRoutes. The namespace has others: that of
// the machines' subnet.
const routeProtocol = netlink.RouteProtocol(unix.RTPROT_STATIC)

// setRoutes replaces the routes to addresses behind machines.
func (w *wire) setRoutes(routes []machine.Route) error {
	return w.use(func() error { return w.replaceRoutes(routes) })
}

func (w *wire) replaceRoutes(routes []machine.Route) error {
	w.routing.Lock()
	defer w.routing.Unlock()
	kept := map[netip.Prefix]bool{}
	for _, r := range routes {
		kept[r.Destination] = true
		if err := w.handle.RouteReplace(w.route(r)); err != nil {
			return fmt.Errorf("route to %s via %s: %w", r.Destination, r.Via, err)
		}
	}
	filter := &netlink.Route{LinkIndex: w.bridge.Index, Protocol: routeProtocol}
	present, err := w.handle.RouteListFiltered(netlink.FAMILY_V4, filter, netlink.RT_FILTER_OIF|netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return fmt.Errorf("list routes: %w", err)
	}
	for _, old := range present {
		if old.Dst == nil {
			continue
		}
		size, _ := old.Dst.Mask.Size()
		address, _ := netip.AddrFromSlice(old.Dst.IP)
		if kept[netip.PrefixFrom(address.Unmap(), size)] {
			continue
		}
		if err := w.handle.RouteDel(&old); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("remove the route to %s: %w", old.Dst, err)
		}
	}
	return nil
}

func (w *wire) route(r machine.Route) *netlink.Route {
	return &netlink.Route{
		LinkIndex: w.bridge.Index, Protocol: routeProtocol, Gw: r.Via.AsSlice(),
		Dst: &net.IPNet{IP: r.Destination.Addr().AsSlice(), Mask: net.CIDRMask(r.Destination.Bits(), 32)},
	}
}
