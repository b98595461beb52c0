package network

import (
	"fmt"
	"net"
	"net/netip"
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// maxServed bounds the connections of one machine to one service at the gateway.
const maxServed = 256

// Listen returns a listener on a TCP port of the gateway's address, for a service
// that the host offers to machines. The remote address of a connection is that of
// the machine that opened it. Connections over the machine's share are closed. The
// caller closes the listener; the connections end with the network at the latest.
func (n *Network) Listen(port uint16) (net.Listener, error) {
	return n.ListenAt(Gateway(n.config.Subnet), port)
}

// ListenAt is like Listen at another address of the machines' subnet, which no machine
// has. The gateway has the address until the last listener at it is closed. The host can
// connect as well (Local).
func (n *Network) ListenAt(at netip.Addr, port uint16) (net.Listener, error) {
	if !n.config.Subnet.Contains(at) {
		return nil, fmt.Errorf("listen on %s: it is not an address of %s", at, n.config.Subnet)
	}
	l := &gatewayListener{
		subnet: n.config.Subnet, address: net.TCPAddrFromAddrPort(netip.AddrPortFrom(at, port)),
		machines: &quota{limit: maxServed}, local: make(chan net.Conn), closed: make(chan struct{}),
		release: func() { n.own.give(at) },
	}
	endpoint, failed := n.stack.NewEndpoint(tcp.ProtocolNumber, ipv4.ProtocolNumber, &l.queue)
	if failed != nil {
		return nil, fmt.Errorf("listen on %s: %s", l.address, failed)
	}
	// Connections that end slowly would keep the port.
	endpoint.SocketOptions().SetReuseAddress(true)
	failed = endpoint.Bind(tcpip.FullAddress{NIC: nic, Addr: tcpipAddress(at), Port: port})
	if failed == nil {
		failed = endpoint.Listen(maxServed)
	}
	if failed != nil {
		endpoint.Close()
		return nil, fmt.Errorf("listen on %s: %s", l.address, failed)
	}
	l.endpoint = endpoint
	n.own.take(at)
	if at != Gateway(n.config.Subnet) {
		n.services.add(netip.AddrPortFrom(at, port), l)
		l.release = func() { n.services.remove(netip.AddrPortFrom(at, port), l); n.own.give(at) }
	}
	return l, nil
}

// Local returns a function that takes this host's connections to a service of ListenAt, nil
// if nothing listens at the port. own reports whether this process has the address. take
// returns false if the service has ended. The gateway's address is for machines only.
func (n *Network) Local(at netip.AddrPort) (take func(net.Conn) bool, own bool) {
	l := n.services.at(at)
	if l == nil {
		return nil, n.own.has(at.Addr())
	}
	return l.take, true
}

// services are listeners by their addresses.
type services struct {
	mu  sync.Mutex // guards all
	all map[netip.AddrPort]*gatewayListener
}

func (s *services) add(at netip.AddrPort, l *gatewayListener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = map[netip.AddrPort]*gatewayListener{}
	}
	s.all[at] = l
}

// remove forgets a listener, unless another one has taken its place.
func (s *services) remove(at netip.AddrPort, l *gatewayListener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all[at] == l {
		delete(s.all, at)
	}
}

func (s *services) at(at netip.AddrPort) *gatewayListener {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all[at]
}

// gatewayListener accepts the connections of machines to one port of the gateway or of
// another address of this process. The host reaches the latter as well.
type gatewayListener struct {
	subnet   netip.Prefix
	address  net.Addr
	endpoint tcpip.Endpoint
	queue    waiter.Queue
	machines *quota
	local    chan net.Conn // connections of the host
	release  func()        // called once, after it is closed

	once   sync.Once
	closed chan struct{}
}

// Accept implements net.Listener.
func (l *gatewayListener) Accept() (net.Conn, error) {
	entry, readable := waiter.NewChannelEntry(waiter.ReadableEvents | waiter.EventErr | waiter.EventHUp)
	l.queue.EventRegister(&entry)
	defer l.queue.EventUnregister(&entry)
	for {
		var from tcpip.FullAddress
		endpoint, queue, failed := l.endpoint.Accept(&from)
		switch failed.(type) {
		case nil:
			if conn := l.admit(address(from.Addr), endpoint, queue); conn != nil {
				return conn, nil
			}
		case *tcpip.ErrWouldBlock:
			select {
			case <-readable:
			case conn := <-l.local:
				return conn, nil
			case <-l.closed:
				return nil, net.ErrClosed
			}
		default:
			return nil, fmt.Errorf("accept on %s: %w", l.address, net.ErrClosed)
		}
	}
}

// admit returns the connection of a machine, or closes it and returns nil. Only an
// address of the machines' subnet proves who the sender is.
func (l *gatewayListener) admit(machine netip.Addr, endpoint tcpip.Endpoint, queue *waiter.Queue) net.Conn {
	if !l.subnet.Contains(machine) || !l.machines.take(machine) {
		endpoint.Abort()
		return nil
	}
	// A killed machine sends no FIN; keepalives end its connections.
	endpoint.SocketOptions().SetKeepAlive(true)
	return &servedConn{
		TCPConn: gonet.NewTCPConn(queue, endpoint),
		release: sync.OnceFunc(func() { l.machines.give(machine) }),
	}
}

// take makes Accept return a connection of the host. It returns false if the listener is
// closed.
func (l *gatewayListener) take(conn net.Conn) bool {
	select {
	case l.local <- conn:
		return true
	case <-l.closed:
		return false
	}
}

// Close implements net.Listener. Accepted connections stay open.
func (l *gatewayListener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.endpoint.Close()
		l.release()
	})
	return nil
}

// Addr implements net.Listener.
func (l *gatewayListener) Addr() net.Addr { return l.address }

// servedConn is a machine's connection to the gateway, counted until it is closed.
type servedConn struct {
	*gonet.TCPConn
	release func()
}

// Close implements net.Conn.
func (c *servedConn) Close() error {
	err := c.TCPConn.Close()
	c.release()
	return err
}
