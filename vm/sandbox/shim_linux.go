package sandbox

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/skiff-dev/skiff/internal/addressing"
	"github.com/skiff-dev/skiff/vm/network/impair"
)

// shim carries the frames of an impaired machine. The machine is connected to a bridge of
// its own instead of that of all machines, and this process forwards frames between the
// two. So the kernel needs no packet scheduler such as netem, and links are impaired in the
// same way as those of virtual machines.
type shim struct {
	bridge       *netlink.Bridge
	inner, outer *os.File // TAP devices on the machine's bridge and on that of all machines
	link         impair.Port
	links        *atomic.Pointer[impair.Links]
	machine      netip.Addr
	closed       chan struct{}
	pumps        sync.WaitGroup
}

// impair changes which machines' links are impaired.
func (w *wire) impair(links impair.Links) error {
	return w.use(func() error {
		w.shimming.Lock()
		defer w.shimming.Unlock()
		links = maps.Clone(links)
		w.links.Store(&links)
		var failed []error
		for address := range links {
			if w.shims[address] == nil {
				failed = append(failed, w.insert(address))
			}
		}
		for address, s := range w.shims {
			if _, impaired := links[address]; !impaired {
				failed = append(failed, w.remove(address, s))
			}
		}
		return errors.Join(failed...)
	})
}

// insert makes a machine's frames pass through a shim.
func (w *wire) insert(address netip.Addr) (err error) {
	number := w.count.Add(1)
	s := &shim{
		machine: address, links: &w.links, closed: make(chan struct{}),
		link: impair.Port{Hosts: []netip.Addr{w.address.Addr(), w.gateway}},
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("impair the link of %s: %w", address, err), w.discard(s))
		}
	}()
	snooping := false
	s.bridge = &netlink.Bridge{LinkAttrs: attributes(fmt.Sprintf("shim%d", number)), MulticastSnooping: &snooping}
	if err := w.handle.LinkAdd(s.bridge); err != nil {
		return fmt.Errorf("bridge: %w", err)
	}
	if s.inner, err = w.openPort(fmt.Sprintf("inner%d", number), s.bridge.Index); err != nil {
		return err
	}
	if s.outer, err = w.openPort(fmt.Sprintf("outer%d", number), w.bridge.Index); err != nil {
		return err
	}
	if err := w.handle.LinkSetUp(s.bridge); err != nil {
		return err
	}
	s.run()
	if err := w.connect(address, s.bridge.Index); err != nil {
		return err
	}
	w.shims[address] = s
	return nil
}

// openPort creates a TAP device that is connected to a bridge.
func (w *wire) openPort(name string, bridge int) (tap *os.File, err error) {
	if err := w.sockets.do(func() (err error) {
		tap, err = openTAP(name)
		return err
	}); err != nil {
		return nil, fmt.Errorf("TAP device: %w", err)
	}
	port, err := w.handle.LinkByName(name)
	if err == nil {
		err = errors.Join(w.handle.LinkSetMTU(port, addressing.MTU), w.handle.LinkSetMasterByIndex(port, bridge), w.handle.LinkSetUp(port))
	}
	if err != nil {
		return nil, errors.Join(err, tap.Close())
	}
	return tap, nil
}

// connect connects a machine to a bridge. It does nothing for a machine that has no
// interface, which is not running.
func (w *wire) connect(address netip.Addr, bridge int) error {
	name, ok := w.interfaces[address]
	if !ok {
		return nil
	}
	link, err := w.handle.LinkByName(name)
	var gone netlink.LinkNotFoundError
	if errors.As(err, &gone) {
		return nil // the machine has ended
	}
	if err != nil {
		return err
	}
	return w.handle.LinkSetMasterByIndex(link, bridge)
}

// remove connects a machine to the bridge of all machines again.
func (w *wire) remove(address netip.Addr, s *shim) error {
	if err := w.connect(address, w.bridge.Index); err != nil {
		return fmt.Errorf("restore the link of %s: %w", address, err)
	}
	delete(w.shims, address)
	return w.discard(s)
}

// discard ends a shim and removes what belongs to it.
func (w *wire) discard(s *shim) error {
	err := s.close()
	if s.bridge != nil && s.bridge.Index != 0 {
		err = errors.Join(err, w.handle.LinkDel(s.bridge))
	}
	return err
}

// masterOf returns the index of the bridge for a machine's interface.
func (w *wire) masterOf(address netip.Addr) int {
	if s := w.shims[address]; s != nil {
		return s.bridge.Index
	}
	return w.bridge.Index
}

// run starts forwarding frames.
func (s *shim) run() {
	line := impair.NewLine(s.closed)
	s.pumps.Go(func() {
		s.read(s.inner, func(frame []byte) {
			verdict := s.link.Send(*s.links.Load(), frame, time.Now())
			verdict.Hold(s.closed)
			if !verdict.Drop {
				_, _ = s.outer.Write(frame) // what the device does not accept is lost
			}
		})
	})
	s.pumps.Go(func() {
		s.read(s.outer, func(frame []byte) {
			if verdict := s.link.Receive(*s.links.Load(), s.machine, frame, time.Now()); !verdict.Drop {
				line.Add(append([]byte{}, frame...), verdict.Wait)
			}
		})
	})
	s.pumps.Go(func() {
		for {
			frame, ok := line.Next()
			if !ok {
				return
			}
			_, _ = s.inner.Write(frame)
		}
	})
}

// read calls handle for each frame of a device until it is closed.
func (s *shim) read(tap *os.File, handle func([]byte)) {
	frame := make([]byte, maxFrame)
	for {
		n, err := tap.Read(frame)
		if err != nil {
			return
		}
		handle(frame[:n])
	}
}

// close ends the forwarding and removes the devices.
func (s *shim) close() error {
	close(s.closed)
	var errs []error
	for _, tap := range []*os.File{s.inner, s.outer} {
		if tap != nil {
			errs = append(errs, tap.Close())
		}
	}
	s.pumps.Wait()
	return errors.Join(errs...)
}
