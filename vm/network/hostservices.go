package network

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/skiff-dev/skiff/vm/network/hostport"
)

// Bounds of the record of failed attempts.
const (
	maxAttempts = 8
	attemptsFor = 10 * time.Minute
)

// hostNames are the names of the host, the second for programs that know Docker's.
var hostNames = []string{"host.skiff.internal.", "host.docker.internal."}

// HostServices returns the address at which machines reach services on the host's
// loopback.
func HostServices(subnet netip.Prefix) netip.Addr { return Gateway(subnet).Next().Next() }

// hostServices are the services on the host's loopback that machines may use.
type hostServices struct {
	address netip.Addr

	mu       sync.Mutex // guards what follows
	open     hostport.Set
	proxies  map[uint16][]netip.AddrPort // of the host's loopback, by port
	attempts map[uint16]attempt
}

// attempt is the latest failed attempt of a machine to use a port.
type attempt struct {
	when time.Time
	// closed is true for a port that is not open, false for one where nobody listens.
	closed bool
}

// set changes which ports are open. Connections to others last until they end.
func (h *hostServices) set(open hostport.Set) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open = open
	maps.DeleteFunc(h.attempts, func(port uint16, a attempt) bool { return a.closed && open.Contains(port) })
}

// setProxies changes which proxies machines may use. Addresses beyond loopback need
// nothing.
func (h *hostServices) setProxies(at []netip.AddrPort) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.proxies = map[uint16][]netip.AddrPort{}
	for _, proxy := range at {
		if proxy.Addr().IsLoopback() && !slices.Contains(h.proxies[proxy.Port()], proxy) {
			h.proxies[proxy.Port()] = append(h.proxies[proxy.Port()], proxy)
		}
	}
}

// route returns where a service may listen on the host, in the order in which it is
// tried; nothing if the port is not open. A proxy is reached by TCP only.
func (h *hostServices) route(port uint16, tcp bool) []netip.AddrPort {
	h.mu.Lock()
	defer h.mu.Unlock()
	if proxies := h.proxies[port]; tcp && len(proxies) > 0 {
		return proxies
	}
	if !h.open.Contains(port) {
		h.record(port, true)
		return nil
	}
	return []netip.AddrPort{
		netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port),
		netip.AddrPortFrom(netip.IPv6Loopback(), port),
	}
}

// unanswered records that nobody listens on an open port.
func (h *hostServices) unanswered(port uint16) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.record(port, false)
}

// record keeps the latest attempts. The caller holds h.mu.
func (h *hostServices) record(port uint16, closed bool) {
	if h.attempts == nil {
		h.attempts = map[uint16]attempt{}
	}
	h.attempts[port] = attempt{time.Now(), closed}
	for len(h.attempts) > maxAttempts {
		oldest := port
		for other, a := range h.attempts {
			if a.when.Before(h.attempts[oldest].when) {
				oldest = other
			}
		}
		delete(h.attempts, oldest)
	}
}

// problems returns one line for users for each reason why connections to the host
// failed recently.
func (h *hostServices) problems() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	maps.DeleteFunc(h.attempts, func(_ uint16, a attempt) bool { return time.Since(a.when) > attemptsFor })
	var closed, unanswered []string
	for _, port := range slices.Sorted(maps.Keys(h.attempts)) {
		text := strconv.Itoa(int(port))
		if h.attempts[port].closed {
			closed = append(closed, text)
		} else {
			unanswered = append(unanswered, text)
		}
	}
	var lines []string
	if len(closed) > 0 {
		lines = append(lines, fmt.Sprintf("Pods tried ports of the host that are not open: %s. Add them to hostPorts if pods may use them.", strings.Join(closed, ", ")))
	}
	if len(unanswered) > 0 {
		lines = append(lines, fmt.Sprintf("Pods tried ports of the host where nothing listens on 127.0.0.1: %s.", strings.Join(unanswered, ", ")))
	}
	return lines
}

// OpenHostPorts changes which ports of the host's loopback machines may use.
func (n *Network) OpenHostPorts(open hostport.Set) { n.host.set(open) }

// OpenProxies changes which proxies on the host's loopback machines may use, at the
// address HostServices. Addresses with the same port are tried in turn.
func (n *Network) OpenProxies(at []netip.AddrPort) { n.host.setProxies(at) }

// Problems describes the recent failed attempts of machines to reach the host, one
// line for users each.
func (n *Network) Problems() []string { return n.host.problems() }

// route returns the addresses outside that a flow of a machine may be connected to,
// the next if one refuses; nothing if the flow is not allowed.
func (n *Network) route(target netip.AddrPort, tcp bool) []netip.AddrPort {
	switch {
	case target.Addr() == n.host.address:
		return n.host.route(target.Port(), tcp)
	case n.waits(target):
		if n.config.Egress != EgressAll {
			return nil
		}
		return n.config.Peers.Route(target, tcp)
	case n.allows(target.Addr()):
		return []netip.AddrPort{target}
	}
	return nil
}

// waits reports whether route may take long: it may ask the daemon of another cluster.
func (n *Network) waits(target netip.AddrPort) bool {
	return n.config.Peers != nil && n.config.PeerRange.Contains(target.Addr())
}

// refused learns that nobody listens at a target.
func (n *Network) refused(target netip.AddrPort) {
	if target.Addr() == n.host.address {
		n.host.unanswered(target.Port())
	}
}

// name returns the addresses of names that the network itself knows.
func (n *Network) name(name string) (netip.Addr, bool) {
	if slices.Contains(hostNames, name) {
		return n.host.address, true
	}
	if n.config.Peers == nil {
		return netip.Addr{}, false
	}
	return n.config.Peers.Resolve(name)
}
