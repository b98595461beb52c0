package network

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/skiff-dev/skiff/internal/splice"
)

const (
	// outsideTimeout bounds connecting to the outside; a silent address fails
	// sooner than the host's kernel would give up.
	outsideTimeout = 20 * time.Second
	// maxPending bounds the connections being established for all machines.
	maxPending = 4096
)

// tcpForwarder connects machines to TCP servers outside.
type tcpForwarder struct {
	subnet netip.Prefix // of the machines
	// route returns where to connect for a target, nothing if that is not allowed.
	route func(target netip.AddrPort) []netip.AddrPort
	// refused is told that nobody listens there.
	refused func(target netip.AddrPort)
	dial    dialer
	// dials are the connections that are not established yet.
	connections, dials *quota
	open               *openFlows
	// local is Network.Local; may be nil.
	local func(target netip.AddrPort) (take func(net.Conn) bool, own bool)
}

// attach makes the forwarder handle every connection that no service of the
// gateway takes.
func (f *tcpForwarder) attach(s *stack.Stack) {
	s.SetTransportProtocolHandler(tcp.ProtocolNumber, tcp.NewForwarder(s, 0, maxPending, f.handle).HandlePacket)
}

// handle serves one connection until both directions have ended; it runs in a
// goroutine of its own. A machine over its quota of dials gets no answer, so
// that its TCP tries again; whatever else fails is refused.
func (f *tcpForwarder) handle(r *tcp.ForwarderRequest) {
	id := r.ID()
	machine, target := address(id.RemoteAddress), netip.AddrPortFrom(address(id.LocalAddress), id.LocalPort)
	if !f.subnet.Contains(machine) || !f.connections.take(machine) {
		r.Complete(true)
		return
	}
	to := f.route(target) // which may take long, so it counts
	take, own := f.service(target)
	switch {
	case len(to) > 0 && take != nil:
		f.hand(r, take, func() { f.connections.give(machine) })
		return
	case len(to) > 0 && !own:
		f.carry(r, machine, target, to)
	default:
		r.Complete(true)
	}
	f.connections.give(machine)
}

// carry connects a machine to the outside until both directions have ended.
func (f *tcpForwarder) carry(r *tcp.ForwarderRequest, machine netip.Addr, target netip.AddrPort, to []netip.AddrPort) {
	inside, outside, ok := f.connect(r, machine, target, to)
	if !ok {
		return
	}
	both := pair{inside, outside}
	done, err := f.open.begin(both)
	if err != nil {
		_ = both.Close()
		return
	}
	defer done()
	splice.Both(inside, outside)
	_ = both.Close()
}

// connect connects to the target first, so that the machine sees a refusal as
// one, then to the machine.
func (f *tcpForwarder) connect(r *tcp.ForwarderRequest, machine netip.Addr, target netip.AddrPort, to []netip.AddrPort) (inside, outside net.Conn, ok bool) {
	if !f.dials.take(machine) {
		r.Complete(false)
		return nil, nil, false
	}
	defer f.dials.give(machine)
	ctx, cancel := context.WithTimeout(context.Background(), outsideTimeout)
	defer cancel()
	outside, err := f.dialFirst(ctx, to)
	if err != nil {
		if errors.Is(err, syscall.ECONNREFUSED) {
			f.refused(target)
		}
		// Out of descriptors is the host's trouble, not the target's answer.
		r.Complete(!errors.Is(err, syscall.EMFILE) && !errors.Is(err, syscall.ENFILE))
		return nil, nil, false
	}
	if inside, ok = established(r); !ok {
		_ = outside.Close()
		return nil, nil, false
	}
	return inside, outside, true
}

// established completes a request and returns its connection.
func established(r *tcp.ForwarderRequest) (*gonet.TCPConn, bool) {
	var queue waiter.Queue
	endpoint, failed := r.CreateEndpoint(&queue)
	r.Complete(false)
	if failed != nil {
		return nil, false
	}
	// A machine that was killed says nothing: keepalives end its connections.
	endpoint.SocketOptions().SetKeepAlive(true)
	return gonet.NewTCPConn(&queue, endpoint), true
}

// service returns what serves a target in this process.
func (f *tcpForwarder) service(target netip.AddrPort) (take func(net.Conn) bool, own bool) {
	if f.local == nil {
		return nil, false
	}
	return f.local(target)
}

// hand gives a connection to a service of this process, and calls give when it has ended.
func (f *tcpForwarder) hand(r *tcp.ForwarderRequest, take func(net.Conn) bool, give func()) {
	conn, ok := established(r)
	if !ok {
		give()
		return
	}
	done, err := f.open.begin(conn)
	if err != nil {
		_ = conn.Close()
		give()
		return
	}
	served := &servedConn{TCPConn: conn, release: sync.OnceFunc(func() { give(); done() })}
	if !take(served) {
		_ = served.Close()
	}
}

// dialFirst connects to the first address that does not refuse.
func (f *tcpForwarder) dialFirst(ctx context.Context, to []netip.AddrPort) (conn net.Conn, err error) {
	for _, address := range to {
		network := "tcp4"
		if address.Addr().Is6() {
			network = "tcp6"
		}
		if conn, err = f.dial(ctx, network, address.String()); !errors.Is(err, syscall.ECONNREFUSED) {
			return conn, err
		}
	}
	return nil, err
}

// pair is the two ends of a forwarded connection.
type pair struct{ inside, outside net.Conn }

// Close closes both ends.
func (p pair) Close() error { return errors.Join(p.inside.Close(), p.outside.Close()) }

// address converts an IPv4 address of the stack.
func address(a tcpip.Address) netip.Addr {
	b := a.As4()
	return netip.AddrFrom4(b)
}
