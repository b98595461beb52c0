package network

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/containers/gvisor-tap-vsock/pkg/services/dns"
	"github.com/containers/gvisor-tap-vsock/pkg/tap"
	"golang.org/x/net/netutil"
	"golang.org/x/time/rate"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

// nic is the stack's only interface.
const nic = 1

// firstOwnPort is the first of the ports from which the gateway connects to
// machines. Its services listen below.
const firstOwnPort = 16000

// Bounds of the name service, which asks the host's resolver for each query.
const (
	queriesPerSecond = 500 // of one machine
	queryBurst       = 1000
	maxResolving     = 128 // connections over TCP
)

// newStack builds the gateway's IPv4 stack behind a switch. It accepts packets to
// any address, so that its forwarders can carry them outside.
func newStack(gateway netip.Addr, subnet netip.Prefix) (*stack.Stack, *tap.Switch, error) {
	endpoint, err := tap.NewLinkEndpoint(false, MTU, gatewayMAC, gateway.String(), []string{gateway.String()})
	if err != nil {
		return nil, nil, err
	}
	machines := tap.NewSwitch(false)
	endpoint.Connect(machines)
	machines.Connect(endpoint)
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4},
	})
	if err := s.CreateNIC(nic, endpoint); err != nil {
		return nil, nil, fmt.Errorf("create the interface: %s", err)
	}
	own := tcpip.ProtocolAddress{Protocol: ipv4.ProtocolNumber, AddressWithPrefix: tcpipAddress(gateway).WithPrefix()}
	if err := s.AddProtocolAddress(nic, own, stack.AddressProperties{}); err != nil {
		return nil, nil, fmt.Errorf("set the gateway's address: %s", err)
	}
	s.SetSpoofing(nic, true)
	s.SetPromiscuousMode(nic, true)
	if err := s.SetPortRange(firstOwnPort, 65535); err != nil {
		return nil, nil, fmt.Errorf("set the range of ports: %s", err)
	}
	table, err := routeTable(subnet, nil)
	if err != nil {
		return nil, nil, err
	}
	s.SetRouteTable(table)
	return s, machines, nil
}

func tcpipAddress(a netip.Addr) tcpip.Address { return tcpip.AddrFrom4(a.As4()) }

// serveNames answers DNS queries at the gateway's address as the host resolves
// names. The returned functions serve until the stack is closed.
func serveNames(s *stack.Stack, gateway netip.Addr) ([]func() error, error) {
	at := tcpip.FullAddress{NIC: nic, Addr: tcpipAddress(gateway), Port: dnsPort}
	queries, err := gonet.DialUDP(s, &at, nil, ipv4.ProtocolNumber)
	if err != nil {
		return nil, fmt.Errorf("listen for DNS queries: %w", err)
	}
	listener, err := gonet.ListenTCP(s, at, ipv4.ProtocolNumber)
	if err != nil {
		return nil, fmt.Errorf("listen for DNS queries over TCP: %w", err)
	}
	limited := &limitedQueries{PacketConn: queries, limits: map[netip.Addr]*rate.Limiter{}}
	server, err := dns.New(limited, netutil.LimitListener(listener, maxResolving), nil)
	if err != nil {
		return nil, fmt.Errorf("make the name service: %w", err)
	}
	return []func() error{server.Serve, server.ServeTCP}, nil
}

// limitedQueries drops the queries of a machine that sends too many. Only one
// goroutine reads from it.
type limitedQueries struct {
	net.PacketConn
	limits map[netip.Addr]*rate.Limiter // at most one for each machine: guard checks senders
}

// ReadFrom reads the next query that is within its sender's limit.
func (l *limitedQueries) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := l.PacketConn.ReadFrom(b)
		if err != nil {
			return n, from, err
		}
		sender, err := netip.ParseAddrPort(from.String())
		if err != nil {
			continue
		}
		limit := l.limits[sender.Addr()]
		if limit == nil {
			limit = rate.NewLimiter(queriesPerSecond, queryBurst)
			l.limits[sender.Addr()] = limit
		}
		if limit.Allow() {
			return n, from, nil
		}
	}
}
