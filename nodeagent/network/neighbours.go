package network

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// applyNeighbours makes the link's permanent neighbours in a subnet the wanted ones.
func applyNeighbours(link int, subnet netip.Prefix, want []neighbour) error {
	actual, err := permanentNeighbours(link, subnet)
	if err != nil {
		return err
	}
	set, remove := difference(want, actual, neighbour.key)
	var failures []error
	for _, n := range set {
		slog.Info("neighbour", "address", n.address.String())
		if err := netlink.NeighSet(kernelNeighbour(n, link)); err != nil {
			failures = append(failures, fmt.Errorf("neighbour %s: %w", n.address, err))
		}
	}
	for _, n := range remove {
		slog.Info("remove neighbour", "address", n.address.String())
		if err := netlink.NeighDel(kernelNeighbour(n, link)); err != nil && !errors.Is(err, unix.ENOENT) {
			failures = append(failures, fmt.Errorf("remove neighbour %s: %w", n.address, err))
		}
	}
	return errors.Join(failures...)
}

func permanentNeighbours(link int, subnet netip.Prefix) ([]neighbour, error) {
	found, err := netlink.NeighList(link, netlink.FAMILY_V6)
	if err != nil {
		return nil, fmt.Errorf("list neighbours: %w", err)
	}
	var all []neighbour
	for _, f := range found {
		address, ok := netip.AddrFromSlice(f.IP)
		if !ok || f.State&netlink.NUD_PERMANENT == 0 || len(f.HardwareAddr) != 6 || !subnet.Contains(address) {
			continue
		}
		all = append(all, neighbour{address, [6]byte(f.HardwareAddr)})
	}
	return all, nil
}

func kernelNeighbour(n neighbour, link int) *netlink.Neigh {
	return &netlink.Neigh{
		LinkIndex: link, Family: netlink.FAMILY_V6, State: netlink.NUD_PERMANENT,
		IP: n.address.AsSlice(), HardwareAddr: n.hardware[:],
	}
}
