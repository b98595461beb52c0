// Package impair makes a machine's link worse on purpose: frames are cut off, lost, delayed
// or limited to a rate. It decides about each frame and holds those that are delayed; its
// callers carry the frames. The connections of the host to a node's API are never impaired,
// so that a node can be observed and every fault can be ended.
package impair

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/skiff-dev/skiff/internal/addressing"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// Link is how a machine's link is impaired. The zero value is a good link.
type Link struct {
	// Cuts are the partitions that the machine is in, one bit for each. Machines reach
	// each other if they are in the same ones; the host and the outside are in none.
	Cuts uint64
	// Delay is how much later frames to the machine arrive, so a round trip takes that
	// much longer.
	Delay time.Duration
	// Loss is the probability that a frame is lost, in either direction.
	Loss float64
	// BitsPerSecond limits each direction; 0 means unlimited.
	BitsPerSecond int64
}

// Links are the impaired links, by the machine's IPv4 address.
type Links map[netip.Addr]Link

// Offsets and values of Ethernet II (IEEE 802.3), ARP (RFC 826) and IPv4 (RFC 791).
const (
	ethernetHeader = 14
	typeIPv4       = 0x0800
	typeARP        = 0x0806
	ipv4Header     = 20
	arpLength      = 28
	protocolTCP    = 6
)

const (
	// longestQueue is how long a frame may wait for its turn on a link with a limited rate.
	// A frame that would wait longer is lost, as in a full queue.
	longestQueue = 500 * time.Millisecond
	// burstTime is how far a link with a limited rate may be ahead of its rate.
	burstTime = 20 * time.Millisecond
)

// Port is one machine's link. Its methods may be called concurrently.
type Port struct {
	// Hosts are the addresses of the host in the machines' subnet.
	Hosts []netip.Addr

	mu       sync.Mutex // guards what follows
	out, in  time.Time  // when the link is free again, by direction
	outLimit int64      // the rate with which out was computed, likewise inLimit
	inLimit  int64
}

// Verdict is what happens to a frame.
type Verdict struct {
	Drop bool
	// Wait is how long the frame is held back; 0 lets it pass at once.
	Wait time.Duration
}

// Hold waits until the frame is due, or closed is closed.
func (v Verdict) Hold(closed <-chan struct{}) {
	if v.Wait <= 0 {
		return
	}
	timer := time.NewTimer(v.Wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-closed:
	}
}

// Send decides about a frame that a machine sends.
func (p *Port) Send(links Links, frame []byte, now time.Time) Verdict {
	if len(frame) < ethernetHeader {
		return Verdict{Drop: true}
	}
	self, ok := addressing.Machine([6]byte(frame[6:12]))
	own, impaired := links[self]
	if !ok || !impaired || p.exempt(frame) {
		return Verdict{}
	}
	group := frame[0]&1 != 0 // Receive decides, for each machine
	if !group && links[machine(frame[:6])].Cuts != own.Cuts || lost(own.Loss) {
		return Verdict{Drop: true}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return pace(&p.out, &p.outLimit, own.BitsPerSecond, len(frame), now)
}

// Receive decides about a frame for the machine with the address self.
func (p *Port) Receive(links Links, self netip.Addr, frame []byte, now time.Time) Verdict {
	if len(frame) < ethernetHeader {
		return Verdict{Drop: true}
	}
	own := links[self]
	if p.exempt(frame) {
		return Verdict{}
	}
	if links[machine(frame[6:12])].Cuts != own.Cuts || lost(own.Loss) {
		return Verdict{Drop: true}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	verdict := pace(&p.in, &p.inLimit, own.BitsPerSecond, len(frame), now)
	verdict.Wait += own.Delay
	return verdict
}

// machine returns the address of the machine with a hardware address; the zero value,
// which has no link, for everything else.
func machine(mac []byte) netip.Addr {
	address, _ := addressing.Machine([6]byte(mac))
	return address
}

func lost(probability float64) bool {
	return probability > 0 && rand.Float64() < probability //nolint:gosec // a fault, not a secret
}

// pace lets a frame wait until the link is free. free and limit are the state of a
// direction.
func pace(free *time.Time, limit *int64, rate int64, length int, now time.Time) Verdict {
	if rate != *limit {
		*free, *limit = time.Time{}, rate
	}
	if rate <= 0 {
		return Verdict{}
	}
	if earliest := now.Add(-burstTime); free.Before(earliest) {
		*free = earliest
	}
	wait := max(free.Sub(now), 0)
	if wait > longestQueue {
		return Verdict{Drop: true}
	}
	*free = free.Add(time.Duration(int64(length) * 8 * int64(time.Second) / rate))
	return Verdict{Wait: wait}
}

// exempt reports whether a frame belongs to a connection of the host to a node's API,
// or finds the hardware address for one.
func (p *Port) exempt(frame []byte) bool {
	packet := frame[ethernetHeader:]
	switch binary.BigEndian.Uint16(frame[12:]) {
	case typeARP:
		return len(packet) >= arpLength &&
			(p.isHost(packet[14:18]) || p.isHost(packet[24:28]))
	case typeIPv4:
		size := ipv4Header
		if len(packet) >= ipv4Header {
			size = int(packet[0]&0xf) * 4
		}
		const offset = 0x1fff
		if size < ipv4Header || len(packet) < size+4 || packet[9] != protocolTCP || binary.BigEndian.Uint16(packet[6:])&offset != 0 {
			return false
		}
		source, destination := binary.BigEndian.Uint16(packet[size:]), binary.BigEndian.Uint16(packet[size+2:])
		return p.isHost(packet[12:16]) && destination == nodeconfig.PortNodeAPI ||
			p.isHost(packet[16:20]) && source == nodeconfig.PortNodeAPI
	}
	return false
}

func (p *Port) isHost(address []byte) bool {
	return slices.Contains(p.Hosts, netip.AddrFrom4([4]byte(address)))
}
