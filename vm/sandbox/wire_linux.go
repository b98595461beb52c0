package sandbox

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/skiff-dev/skiff/internal/addressing"
	"github.com/skiff-dev/skiff/vm/network/impair"
)

// maxFrame is larger than any frame here, in bytes.
const maxFrame = 64 << 10

// wire is the machines' network: a bridge in a network namespace that only this
// process holds open. Each machine is connected to it by a veth pair, and the
// user-mode network by a TAP device. Frames between machines, and from this process
// to them, never leave the kernel.
type wire struct {
	address   netip.Prefix // the bridge's own
	gateway   netip.Addr   // that of the user-mode network
	namespace *os.File
	handle    *netlink.Handle
	bridge    *netlink.Bridge
	tap       *os.File
	conn      net.Conn
	count     atomic.Int64 // of all interfaces so far, for unique names
	machines  sync.Map     // hardware addresses of all machines so far, as [6]byte
	pumps     sync.WaitGroup

	life    sync.RWMutex // held for reading while the following is used, guards closed
	closed  bool
	sockets *thread    // in the namespace, creates sockets
	routing sync.Mutex // held while routes change

	links      atomic.Pointer[impair.Links]
	shimming   sync.Mutex            // guards what follows
	shims      map[netip.Addr]*shim  // of impaired machines
	interfaces map[netip.Addr]string // the last one of each machine
}

// use calls do, unless the network is closed, and delays close until it returns.
func (w *wire) use(do func() error) error {
	w.life.RLock()
	defer w.life.RUnlock()
	if w.closed {
		return net.ErrClosed
	}
	return do()
}

// newWire creates the network on a thread, which it moves into the namespace, and
// joins the user-mode network at socket.
func newWire(t *thread, socket string, address netip.Prefix, gateway netip.Addr) (*wire, error) {
	w := &wire{
		address: address, gateway: gateway, sockets: newThread(),
		shims: map[netip.Addr]*shim{}, interfaces: map[netip.Addr]string{},
	}
	err := t.do(w.build)
	if err == nil {
		err = w.sockets.do(w.enter)
	}
	if err != nil {
		_ = w.close()
		return nil, fmt.Errorf("create the machines' network: %w", err)
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		_ = w.close()
		return nil, fmt.Errorf("join the user-mode network: %w", err)
	}
	w.conn = conn
	w.pumps.Go(w.send)
	w.pumps.Go(w.receive)
	return w, nil
}

// quiet are settings of the new namespace, in which the bridge must only forward
// frames. Those of bridge filters exist only if their kernel module is loaded.
var quiet = map[string]string{
	"ipv6/conf/all/disable_ipv6": "1", "ipv6/conf/default/disable_ipv6": "1",
	// A node that passes a connection on to a pod of another one would redirect it.
	"ipv4/conf/all/accept_redirects": "0", "ipv4/conf/default/accept_redirects": "0",
	// This process sends echo requests for the host.
	"ipv4/ping_group_range":          "0 2147483647",
	"bridge/bridge-nf-call-iptables": "0", "bridge/bridge-nf-call-ip6tables": "0", "bridge/bridge-nf-call-arptables": "0",
}

func (w *wire) build() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("network namespace: %w", err)
	}
	var err error
	if w.namespace, err = os.Open("/proc/thread-self/ns/net"); err != nil {
		return err
	}
	for name, value := range quiet {
		err := os.WriteFile(filepath.Join("/proc/sys/net", name), []byte(value), 0)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if w.handle, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return err
	}
	snooping := false
	w.bridge = &netlink.Bridge{LinkAttrs: attributes("nodes"), MulticastSnooping: &snooping}
	if err := w.handle.LinkAdd(w.bridge); err != nil {
		return fmt.Errorf("bridge: %w", err)
	}
	own := &netlink.Addr{IPNet: &net.IPNet{IP: w.address.Addr().AsSlice(), Mask: net.CIDRMask(w.address.Bits(), w.address.Addr().BitLen())}}
	if err := w.handle.AddrAdd(w.bridge, own); err != nil {
		return fmt.Errorf("address of the bridge: %w", err)
	}
	if w.tap, err = openTAP("uplink"); err != nil {
		return fmt.Errorf("TAP device: %w", err)
	}
	uplink, err := w.handle.LinkByName("uplink")
	if err != nil {
		return err
	}
	if err := w.handle.LinkSetMTU(uplink, addressing.MTU); err != nil {
		return fmt.Errorf("TAP device: %w", err)
	}
	if err := w.handle.LinkSetMaster(uplink, w.bridge); err != nil {
		return err
	}
	return errors.Join(w.handle.LinkSetUp(uplink), w.handle.LinkSetUp(w.bridge))
}

func attributes(name string) netlink.LinkAttrs {
	a := netlink.NewLinkAttrs()
	a.Name, a.MTU = name, addressing.MTU
	return a
}

// openTAP creates a TAP device in the thread's network namespace.
func openTAP(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), "tap"), nil
}

// plug adds an interface with a hardware address to the network namespace of a
// process.
func (w *wire) plug(pid int, mac string) error {
	address, err := net.ParseMAC(mac)
	if err != nil {
		return err
	}
	pair := &netlink.Veth{
		LinkAttrs: attributes(fmt.Sprintf("node%d", w.count.Add(1))),
		PeerName:  "eth0", PeerMTU: addressing.MTU, PeerHardwareAddr: address, PeerNamespace: netlink.NsPid(pid),
	}
	machine, _ := addressing.Machine([6]byte(address))
	w.shimming.Lock()
	defer w.shimming.Unlock()
	pair.MasterIndex, w.interfaces[machine] = w.masterOf(machine), pair.Name
	w.machines.Store([6]byte(address), true)
	if err := w.handle.LinkAdd(pair); err != nil {
		return fmt.Errorf("interface: %w", err)
	}
	if err := w.handle.LinkSetUp(pair); err != nil {
		return fmt.Errorf("interface up: %w", err)
	}
	return nil
}

// send forwards frames of machines to the user-mode network, each preceded by its
// length, until either side is closed.
func (w *wire) send() {
	frame := make([]byte, 4+maxFrame)
	for {
		n, err := w.tap.Read(frame[4:])
		if err != nil {
			_ = w.conn.Close()
			return
		}
		binary.BigEndian.PutUint32(frame, uint32(n))
		if _, err := w.conn.Write(frame[:4+n]); err != nil {
			return
		}
	}
}

// receive forwards frames of the user-mode network to the machines. It drops those
// that a machine of this wire sent: the user-mode network returns frames for a
// machine that is gone, because it last saw that machine here as well. The bridge
// would conclude that the sender is beyond the uplink and cut it off from the
// others.
func (w *wire) receive() {
	reader := bufio.NewReaderSize(w.conn, 4*maxFrame)
	frame := make([]byte, maxFrame)
	for {
		var head [4]byte
		if _, err := io.ReadFull(reader, head[:]); err != nil {
			return
		}
		n := binary.BigEndian.Uint32(head[:])
		if n > maxFrame {
			_ = w.conn.Close()
			return
		}
		if _, err := io.ReadFull(reader, frame[:n]); err != nil {
			return
		}
		if w.fromMachine(frame[:n]) {
			continue
		}
		// A frame that the device does not accept is lost, as on a real link.
		_, _ = w.tap.Write(frame[:n])
	}
}

// fromMachine reports whether the source of an Ethernet frame is a machine of this
// wire.
func (w *wire) fromMachine(frame []byte) bool {
	const source, end = 6, 12
	if len(frame) < end {
		return false
	}
	_, is := w.machines.Load([6]byte(frame[source:end]))
	return is
}

// close stops the network. The kernel removes its namespace when the thread has
// ended as well.
func (w *wire) close() error {
	w.life.Lock()
	w.closed = true
	w.life.Unlock()
	w.sockets.close()
	var errs []error
	for _, s := range w.shims {
		errs = append(errs, s.close())
	}
	if w.tap != nil {
		errs = append(errs, w.tap.Close())
	}
	if w.conn != nil {
		if err := w.conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	w.pumps.Wait()
	if w.handle != nil {
		errs = append(errs, w.handle.Close())
	}
	if w.namespace != nil {
		errs = append(errs, w.namespace.Close())
	}
	return errors.Join(errs...)
}
