// Package link configures a node's network interface, which it finds by its hardware
// address.
package link

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// poll is how often to look for the interface until its driver has created it.
const poll = 5 * time.Millisecond

// Up sets the loopback interface and the node's own interface up and adds the default
// route. It is idempotent.
func Up(ctx context.Context, config nodeconfig.Network) error {
	mac, err := net.ParseMAC(config.MAC)
	if err != nil {
		return err
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("interface lo: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("interface lo up: %w", err)
	}
	own, err := find(ctx, mac)
	if err != nil {
		return err
	}
	if config.MTU != 0 {
		if err := netlink.LinkSetMTU(own, config.MTU); err != nil {
			return fmt.Errorf("mtu %d: %w", config.MTU, err)
		}
	}
	address := &netlink.Addr{IPNet: ipNet(config.Address)}
	if err := netlink.AddrReplace(own, address); err != nil {
		return fmt.Errorf("address %s: %w", config.Address, err)
	}
	if err := netlink.LinkSetUp(own); err != nil {
		return fmt.Errorf("interface %s up: %w", own.Attrs().Name, err)
	}
	if err := addIPv6(own, config.Address6); err != nil {
		return err
	}
	route := &netlink.Route{LinkIndex: own.Attrs().Index, Gw: config.Gateway.AsSlice()}
	if err := netlink.RouteReplace(route); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("default route by %s: %w", config.Gateway, err)
	}
	return nil
}

// addIPv6 adds the node's IPv6 address, if it has one. Nobody else can have it, so it
// is usable at once instead of after duplicate address detection. The other nodes are
// reached by routes of their own (package network), so the link has no subnet.
func addIPv6(own netlink.Link, address netip.Prefix) error {
	if !address.IsValid() {
		return nil
	}
	single := netip.PrefixFrom(address.Addr(), address.Addr().BitLen())
	if err := netlink.AddrReplace(own, &netlink.Addr{IPNet: ipNet(single), Flags: unix.IFA_F_NODAD}); err != nil {
		return fmt.Errorf("address %s: %w", single, err)
	}
	return nil
}

func find(ctx context.Context, mac net.HardwareAddr) (netlink.Link, error) {
	for {
		links, err := netlink.LinkList()
		if err != nil {
			return nil, fmt.Errorf("list interfaces: %w", err)
		}
		for _, l := range links {
			if bytes.Equal(l.Attrs().HardwareAddr, mac) {
				return l, nil
			}
		}
		if pause.For(ctx, poll) != nil {
			return nil, fmt.Errorf("no interface has the hardware address %s", mac)
		}
	}
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
