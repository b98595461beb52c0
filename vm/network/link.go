package network

import (
	"net/netip"
	"sync"

	"github.com/containers/gvisor-tap-vsock/pkg/tap"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// ownAddresses are the addresses of the machines' subnet that the gateway has, with how
// often each is in use.
type ownAddresses struct {
	mu  sync.Mutex // guards all
	all map[netip.Addr]int
}

func newOwnAddresses(always ...netip.Addr) *ownAddresses {
	o := &ownAddresses{all: map[netip.Addr]int{}}
	for _, a := range always {
		o.take(a)
	}
	return o
}

func (o *ownAddresses) take(a netip.Addr) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all[a]++
}

func (o *ownAddresses) give(a netip.Addr) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.all[a]--; o.all[a] <= 0 {
		delete(o.all, a)
	}
}

func (o *ownAddresses) has(a netip.Addr) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all[a] > 0
}

// link is the stack's end of the switch. The stack takes every address for its own, so
// link drops its answers to ARP requests for those of others.
type link struct {
	*tap.LinkEndpoint
	own *ownAddresses
}

// WritePackets implements stack.LinkEndpoint.
func (l *link) WritePackets(packets stack.PacketBufferList) (int, tcpip.Error) {
	var kept stack.PacketBufferList
	dropped := 0
	for _, p := range packets.AsSlice() {
		if l.spoofs(p) {
			dropped++
			continue
		}
		kept.PushBack(p)
	}
	written, err := l.LinkEndpoint.WritePackets(kept)
	return written + dropped, err
}

func (l *link) spoofs(p *stack.PacketBuffer) bool {
	if p.NetworkProtocolNumber != header.ARPProtocolNumber {
		return false
	}
	packet := header.ARP(p.NetworkHeader().Slice())
	return packet.IsValid() && packet.Op() == header.ARPReply && !l.own.has(address(tcpip.AddrFromSlice(packet.ProtocolAddressSender())))
}
