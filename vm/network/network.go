// Package network is a cluster's user-mode network: machines reach each other and
// the outside, the host reaches the machines, and no machine reaches what listens
// on the host's loopback unless its port is open, speaks for another machine, or
// uses more than its share of connections. It needs no privileges and runs in the
// daemon's process.
package network

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/containers/gvisor-tap-vsock/pkg/tap"
	"github.com/containers/gvisor-tap-vsock/pkg/types"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/skiff-dev/skiff/internal/accept"
	"github.com/skiff-dev/skiff/internal/unixsocket"
	"github.com/skiff-dev/skiff/vm/network/hostport"
	"github.com/skiff-dev/skiff/vm/network/impair"
	"github.com/skiff-dev/skiff/vm/network/resolver"
)

// gatewayMAC is the gateway's hardware address; nothing depends on its value.
const gatewayMAC = "5a:94:ef:e4:0c:dd"

// Config of a Network.
type Config struct {
	// Socket is the unix socket at which machines join, in QEMU's protocol: each
	// frame follows its length, 32 bits big-endian. Its directory belongs to the
	// user alone.
	Socket string
	// Subnet of the machines. The gateway has its second address and resolves
	// names as the host does.
	Subnet netip.Prefix
	// Pods are the addresses from which machines may send to each other beside
	// their own. Each pod is behind one machine.
	Pods netip.Prefix
	// Subnet6 and Pods6 are the IPv6 addresses of machines (package addressing) and of
	// pods, over which machines may send to each other as well; the gateway has no
	// IPv6. Without them no IPv6 packet passes.
	Subnet6, Pods6 netip.Prefix
	// Egress is what machines may reach outside; empty means EgressAll.
	Egress Egress
	// HostPorts are the ports of the host's loopback that machines may use.
	HostPorts hostport.Set
	// Proxies are the proxies on the host's loopback that machines may use.
	Proxies []netip.AddrPort
	// Peers leads to other clusters; nil if there is no way to them.
	Peers Peers
	// PeerRange are the addresses that Peers knows.
	PeerRange netip.Prefix
	Log       *slog.Logger
}

// Peers leads machines to other clusters of the user.
type Peers interface {
	// Resolve returns the address that stands for a name, which is fully qualified and
	// in lower case.
	Resolve(name string) (netip.Addr, bool)
	// Route returns the addresses on the host's loopback for a port of such an address,
	// in the order in which they are tried; nothing for any other.
	Route(to netip.AddrPort, tcp bool) []netip.AddrPort
}

// Gateway returns the gateway's address in the machines' subnet.
func Gateway(subnet netip.Prefix) netip.Addr {
	return subnet.Masked().Addr().Next().Next()
}

// Network is a running network.
type Network struct {
	config   Config
	stack    *stack.Stack
	machines *tap.Switch
	guard    guard
	host     hostServices
	names    *names
	open     openFlows
	own      *ownAddresses
	services services
	listener net.Listener
}

// New makes the network and listens on its socket; machines can join once Run
// is called.
func New(config Config) (*Network, error) {
	return newNetwork(config, (&net.Dialer{}).DialContext)
}

// dialer connects to an address outside, as net.Dialer.DialContext does.
type dialer func(ctx context.Context, network, address string) (net.Conn, error)

func newNetwork(config Config, dial dialer) (*Network, error) {
	config.Egress = cmp.Or(config.Egress, EgressAll)
	if !slices.Contains(Egresses(), config.Egress) {
		return nil, fmt.Errorf("unknown egress policy %q", config.Egress)
	}
	n := &Network{config: config, host: hostServices{address: HostServices(config.Subnet), open: config.HostPorts}}
	mac, err := net.ParseMAC(gatewayMAC)
	if err != nil {
		return nil, err
	}
	n.host.setProxies(config.Proxies)
	n.guard = guard{
		subnet: config.Subnet.Masked(), pods: config.Pods, subnet6: config.Subnet6, pods6: config.Pods6,
		gateway: hardwareAddress(mac),
	}
	if err := n.build(dial); err != nil {
		return nil, fmt.Errorf("make the user-mode network: %w", err)
	}
	// The caller holds the cluster's lock, so an existing socket is a dead one.
	if n.listener, err = unixsocket.Listen(config.Socket); err != nil {
		n.stack.Close()
		return nil, fmt.Errorf("make the user-mode network: %w", err)
	}
	return n, nil
}

// build makes the stack, its services and its forwarders.
func (n *Network) build(dial dialer) (err error) {
	gateway := Gateway(n.config.Subnet)
	n.own = newOwnAddresses(gateway, n.host.address)
	if n.stack, n.machines, err = newStack([]netip.Addr{gateway, n.host.address}, n.config.Subnet, n.own); err != nil {
		return err
	}
	host := resolver.New(resolver.Config{Machines: n.config.Subnet, Names: n.name, Host: n.host.address})
	if n.names, err = n.listenNames(host); err != nil {
		n.stack.Close()
		return err
	}
	// TCP and UDP have a quota each: a flood of datagrams must not stop connections.
	limit := flowLimit(fileLimit()) / 2
	connections, flows, dials := &quota{limit: limit}, &quota{limit: limit}, &quota{limit: maxDials}
	route := func(tcp bool) func(netip.AddrPort) []netip.AddrPort {
		return func(target netip.AddrPort) []netip.AddrPort { return n.route(target, tcp) }
	}
	(&tcpForwarder{subnet: n.config.Subnet, route: route(true), refused: n.refused, dial: dial, connections: connections, dials: dials, open: &n.open}).attach(n.stack)
	(&udpForwarder{subnet: n.config.Subnet, route: route(false), waits: n.waits, dial: dial, flows: flows, open: &n.open}).attach(n.stack)
	return nil
}

// allows reports whether machines may reach an address outside.
func (n *Network) allows(target netip.Addr) bool {
	var own []netip.Addr
	if n.config.Egress == EgressPublic {
		var err error
		if own, err = hostAddresses(); err != nil {
			n.config.Log.Warn("connection refused: the host's own addresses are unknown", "error", err)
			return false
		}
	}
	return n.config.Egress.allows(target, n.config.Subnet, own)
}

// Close releases a Network that Run was not called for.
func (n *Network) Close() error {
	n.stack.Close()
	return n.listener.Close()
}

// Run lets machines join until ctx ends; then it disconnects them, ends every
// connection, removes the socket and returns nil.
func (n *Network) Run(ctx context.Context) error {
	var services sync.WaitGroup
	defer services.Wait()
	serving, stop := context.WithCancel(ctx)
	defer stop()
	defer n.stack.Close()
	defer n.open.end()
	services.Go(func() {
		if err := n.names.serve(serving); err != nil {
			n.config.Log.Error("the name service ended", "error", err)
		}
	})
	return accept.Serve(ctx, n.listener, n.config.Log, n.serve)
}

// Impair changes which machines' links are impaired, of those that have a connection of
// their own to the network. Without links, all are good.
func (n *Network) Impair(links impair.Links) error {
	n.guard.impair(links)
	return nil
}

func (n *Network) serve(ctx context.Context, conn net.Conn) {
	p := newPort(conn, &n.guard)
	stop := context.AfterFunc(ctx, func() { _ = p.Close() })
	defer stop()
	// The switch returns an error whenever a machine leaves.
	err := n.machines.Accept(ctx, p, types.BessProtocol)
	if p.malformed() {
		n.config.Log.Warn("disconnected a machine that sent a malformed frame", "error", err)
	}
	_ = p.Close()
	n.guard.release(p)
	p.sender.Wait()
}

// DialContext connects to a machine or to an address behind one (SetRoutes).
// address is IP:PORT, network "tcp", "udp" or "icmp". On a connection of ICMP, whose port
// does not matter, each Write is an echo request and each Read a reply to one.
func (n *Network) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	at, err := netip.ParseAddrPort(address)
	if err != nil || !at.Addr().Is4() {
		return nil, fmt.Errorf("dial %q: want IPv4:PORT", address)
	}
	target := tcpip.FullAddress{NIC: nic, Addr: tcpipAddress(at.Addr()), Port: at.Port()}
	var conn net.Conn
	switch network {
	case "tcp":
		conn, err = gonet.DialContextTCP(ctx, n.stack, target, ipv4.ProtocolNumber)
	case "udp":
		conn, err = gonet.DialUDP(n.stack, nil, &target, ipv4.ProtocolNumber)
	case "icmp":
		conn, err = dialEcho(n.stack, at.Addr())
	default:
		err = errors.New("unsupported network, want tcp, udp or icmp")
	}
	if err != nil {
		return nil, fmt.Errorf("dial %s %s: %w", network, address, err)
	}
	return conn, nil
}
