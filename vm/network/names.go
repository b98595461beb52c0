package network

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/skiff-dev/skiff/vm/network/resolver"
)

// maxDNSConnections is how many connections to the name service a machine may have.
const maxDNSConnections = 32

// names is the name service at the gateway's address.
type names struct {
	resolver *resolver.Resolver
	packets  net.PacketConn
	listener net.Listener
}

// listenNames makes the name service, which answers as the host resolves names.
func listenNames(s *stack.Stack, gateway netip.Addr, r *resolver.Resolver) (*names, error) {
	at := tcpip.FullAddress{NIC: nic, Addr: tcpipAddress(gateway), Port: dnsPort}
	packets, err := gonet.DialUDP(s, &at, nil, ipv4.ProtocolNumber)
	if err != nil {
		return nil, fmt.Errorf("listen for DNS queries: %w", err)
	}
	listener, err := gonet.ListenTCP(s, at, ipv4.ProtocolNumber)
	if err != nil {
		return nil, fmt.Errorf("listen for DNS queries over TCP: %w", err)
	}
	shared := sharedListener{Listener: listener, connections: &quota{limit: maxDNSConnections}}
	return &names{resolver: r, packets: packets, listener: shared}, nil
}

// serve answers queries until ctx ends.
func (n *names) serve(ctx context.Context) error { return n.resolver.Serve(ctx, n.packets, n.listener) }

// sharedListener closes the connections of a machine that has too many.
type sharedListener struct {
	net.Listener
	connections *quota
}

// Accept returns the next connection that is within its machine's quota.
func (l sharedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from, err := netip.ParseAddrPort(conn.RemoteAddr().String())
		if err != nil || !l.connections.take(from.Addr()) {
			_ = conn.Close()
			continue
		}
		return &countedConn{Conn: conn, give: sync.OnceFunc(func() { l.connections.give(from.Addr()) })}, nil
	}
}

// countedConn counts until it is closed.
type countedConn struct {
	net.Conn
	give func()
}

// Close closes the connection.
func (c *countedConn) Close() error {
	defer c.give()
	return c.Conn.Close()
}
