package tunnel

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/skiff-dev/skiff/vm/network"
)

// Supported returns an error with one line for users if this system has no tunnels.
func Supported() error { return nil }

// Create makes the device of a plan and gives it to the user with the ID owner. A
// device that exists already is kept, unless it was never set up completely. It needs
// root. If it fails, nothing is left.
func Create(p Plan, owner int) (err error) {
	if existing, err := netlink.LinkByName(p.Device); err == nil {
		if existing.Attrs().Alias == p.alias() {
			return nil
		}
		if err := Remove(p.Device); err != nil {
			return err
		}
	}
	if err := create(p.Device, owner); err != nil {
		return fmt.Errorf("create the device %s: %w", p.Device, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, Remove(p.Device))
		}
	}()
	link, err := netlink.LinkByName(p.Device)
	if err != nil {
		return fmt.Errorf("find the device %s: %w", p.Device, err)
	}
	if err := configure(p, link); err != nil {
		return fmt.Errorf("set up the device %s: %w", p.Device, err)
	}
	return nil
}

// create makes a device that stays when no process has it open.
func create(name string, owner int) error {
	file, err := open(name)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	return control(file, func(fd int) error {
		if err := unix.IoctlSetInt(fd, unix.TUNSETOWNER, owner); err != nil {
			return err
		}
		return unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 1)
	})
}

// configure sets up the device. The alias comes last: a device that has it is complete.
func configure(p Plan, link netlink.Link) error {
	own := &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(p.Address, p.Address.BitLen()))}
	if err := errors.Join(
		netlink.LinkSetMTU(link, network.AttachMTU), netlink.AddrAdd(link, own), netlink.LinkSetUp(link),
	); err != nil {
		return err
	}
	for _, r := range p.Ranges {
		route := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(r.Prefix), Src: p.Address.AsSlice(), Scope: netlink.SCOPE_LINK}
		if err := netlink.RouteAdd(route); err != nil {
			return fmt.Errorf("route to %s: %w", r.Prefix, err)
		}
	}
	return netlink.LinkSetAlias(link, p.alias())
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// Remove removes a device, with its addresses and routes. One that does not exist is
// fine. It needs root.
func Remove(name string) error {
	link, err := netlink.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil
	}
	if err == nil {
		err = netlink.LinkDel(link)
	}
	if err != nil {
		return fmt.Errorf("remove the device %s: %w", name, err)
	}
	return nil
}

// Release removes a device that no process has open, without root, for its owner.
// One that does not exist is fine.
func Release(name string) error {
	if !Exists(name) {
		return nil
	}
	file, err := open(name)
	if err != nil {
		return fmt.Errorf("remove the device %s: %w", name, err)
	}
	defer func() { _ = file.Close() }()
	if err := control(file, func(fd int) error { return unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 0) }); err != nil {
		return fmt.Errorf("remove the device %s: %w", name, err)
	}
	return nil
}

// Exists reports whether this host has a device of that name.
func Exists(name string) bool {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer func() { _ = unix.Close(fd) }()
	request, err := unix.NewIfreq(name)
	return err == nil && unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, request) == nil
}

// Open attaches to a device, which must exist, for its owner. One process at a time
// can be attached.
func Open(name string) (io.ReadWriteCloser, error) {
	if !Exists(name) {
		return nil, fs.ErrNotExist
	}
	file, err := open(name)
	if err != nil {
		return nil, fmt.Errorf("attach to the device %s: %w", name, err)
	}
	return file, nil
}

func open(name string) (*os.File, error) {
	const path = "/dev/net/tun"
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), name), nil
}

func control(file *os.File, f func(fd int) error) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = f(int(fd)) })
	return errors.Join(err, failed)
}

// Routes returns the host's IPv4 routes and addresses, except the default route.
func Routes() ([]Route, error) {
	// A filter by no table lists those of all tables.
	found, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, fmt.Errorf("list the routes of this host: %w", err)
	}
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list the devices of this host: %w", err)
	}
	devices := map[int]*netlink.LinkAttrs{}
	for _, link := range links {
		devices[link.Attrs().Index] = link.Attrs()
	}
	var routes []Route
	for _, r := range found {
		if r.Dst == nil {
			continue
		}
		address, ok := netip.AddrFromSlice(r.Dst.IP.To4())
		if !ok {
			continue
		}
		bits, _ := r.Dst.Mask.Size()
		route := Route{Destination: netip.PrefixFrom(address, bits)}
		if device := devices[r.LinkIndex]; device != nil {
			route.Device, route.Alias = device.Name, device.Alias
		}
		routes = append(routes, route)
	}
	return routes, nil
}
