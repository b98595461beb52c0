package network

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// routeProtocol marks the routes that this package owns. The number is unassigned in
// /etc/iproute2/rt_protos.
const routeProtocol = netlink.RouteProtocol(83)

// route is one entry of the main table.
type route struct {
	to netip.Prefix
	// via is the next node. Without one the destination is on the link if direct is
	// set, and unreachable if it is not.
	via    netip.Addr
	direct bool
}

// key identifies a route in its table.
func (r route) key() netip.Prefix { return r.to }

// desiredRoutes returns the routes to the other nodes' pods. Pod addresses that no
// node has are unreachable: by default they would leave through the gateway, and a
// client of a deleted pod would wait until it times out.
func desiredRoutes(ranges map[string]place, self string, pods netip.Prefix) []route {
	want := []route{{to: pods.Masked()}}
	for name, p := range ranges {
		if name != self && p.pods.IsValid() {
			want = append(want, route{to: p.pods, via: p.address})
		}
	}
	return inOrder(want)
}

// inOrder sorts routes: in IPv6, the way to a next node comes before the routes that
// use it. Of several routes to one destination it keeps one.
func inOrder(want []route) []route {
	slices.SortFunc(want, func(a, b route) int {
		if order := a.to.Addr().Compare(b.to.Addr()); order != 0 {
			return order
		}
		return a.to.Bits() - b.to.Bits()
	})
	return slices.CompactFunc(want, func(a, b route) bool { return a.to == b.to })
}

// difference returns which entries to set (replace or add) and which to remove so that
// actual becomes want. Entries with the same key replace each other.
func difference[T, K comparable](want, actual []T, key func(T) K) (set, remove []T) {
	for _, w := range want {
		if !slices.Contains(actual, w) {
			set = append(set, w)
		}
	}
	for _, a := range actual {
		if !slices.ContainsFunc(want, func(w T) bool { return key(w) == key(a) }) {
			remove = append(remove, a)
		}
	}
	return set, remove
}

// applyRoutes makes the main table of a family (of package netlink) contain the wanted
// routes, and no others with routeProtocol.
func applyRoutes(family, link int, want []route) error {
	actual, err := ownRoutes(family)
	if err != nil {
		return err
	}
	replace, remove := difference(want, actual, route.key)
	var failures []error
	for _, r := range replace {
		slog.Info("route", "to", r.to.String(), "via", r.via.String())
		if err := netlink.RouteReplace(kernelRoute(r, link)); err != nil {
			failures = append(failures, fmt.Errorf("route to %s: %w", r.to, err))
		}
	}
	for _, r := range remove {
		slog.Info("remove route", "to", r.to.String(), "via", r.via.String())
		if err := netlink.RouteDel(kernelRoute(r, link)); err != nil && !errors.Is(err, unix.ESRCH) {
			failures = append(failures, fmt.Errorf("remove route to %s: %w", r.to, err))
		}
	}
	return errors.Join(failures...)
}

func ownRoutes(family int) ([]route, error) {
	filter := &netlink.Route{Protocol: routeProtocol, Table: unix.RT_TABLE_MAIN}
	found, err := netlink.RouteListFiltered(family, filter, netlink.RT_FILTER_PROTOCOL|netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	var routes []route
	for _, f := range found {
		if f.Dst == nil {
			continue
		}
		to, ok := netip.AddrFromSlice(f.Dst.IP)
		bits, _ := f.Dst.Mask.Size()
		if !ok {
			continue
		}
		r := route{to: netip.PrefixFrom(to.Unmap(), bits)}
		if f.Type != unix.RTN_UNREACHABLE {
			via, _ := netip.AddrFromSlice(f.Gw)
			r.via, r.direct = via.Unmap(), !via.IsValid()
		}
		routes = append(routes, r)
	}
	return routes, nil
}

func kernelRoute(r route, link int) *netlink.Route {
	k := &netlink.Route{
		Dst:      &net.IPNet{IP: r.to.Addr().AsSlice(), Mask: net.CIDRMask(r.to.Bits(), r.to.Addr().BitLen())},
		Protocol: routeProtocol,
		Table:    unix.RT_TABLE_MAIN,
	}
	switch {
	case r.via.IsValid():
		k.Gw, k.LinkIndex = r.via.AsSlice(), link
	case r.direct:
		k.LinkIndex = link
	default:
		k.Type = unix.RTN_UNREACHABLE
	}
	return k
}

// linkWith returns the index of the link that has the address.
func linkWith(address netip.Addr) (int, error) {
	found, err := netlink.AddrList(nil, netlink.FAMILY_V4)
	if err != nil {
		return 0, fmt.Errorf("list addresses: %w", err)
	}
	for _, f := range found {
		if f.IP.Equal(address.AsSlice()) {
			return f.LinkIndex, nil
		}
	}
	return 0, fmt.Errorf("no link has the node's address %s", address)
}
