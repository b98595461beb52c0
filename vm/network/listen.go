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
// has. The gateway has the address until the last listener at it is closed.
func (n *Network) ListenAt(at netip.Addr, port uint16) (net.Listener, error) {
	if !n.config.Subnet.Contains(at) {
		return nil, fmt.Errorf("listen on %s: it is not an address of %s", at, n.config.Subnet)
	}
	l := &gatewayListener{
		subnet: n.config.Subnet, address: net.TCPAddrFromAddrPort(netip.AddrPortFrom(at, port)),
		machines: &quota{limit: maxServed}, closed: make(chan struct{}),
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
	return l, nil
}

// gatewayListener accepts the connections of machines to one port of the gateway.
type gatewayListener struct {
	subnet   netip.Prefix
	address  net.Addr
	endpoint tcpip.Endpoint
	queue    waiter.Queue
	machines *quota
	release  func() // called once, after it is closed

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
