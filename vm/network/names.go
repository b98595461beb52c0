package network

import (
	"context"
	"fmt"
	"net"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"

	"github.com/skiff-dev/skiff/vm/network/resolver"
)

// names is the name service at the gateway's address.
type names struct {
	resolver *resolver.Resolver
	packets  net.PacketConn
	listener net.Listener
}

// listenNames makes the name service, which answers as the host resolves names.
func (n *Network) listenNames(r *resolver.Resolver) (*names, error) {
	at := tcpip.FullAddress{NIC: nic, Addr: tcpipAddress(Gateway(n.config.Subnet)), Port: dnsPort}
	packets, err := gonet.DialUDP(n.stack, &at, nil, ipv4.ProtocolNumber)
	if err != nil {
		return nil, fmt.Errorf("listen for DNS queries: %w", err)
	}
	listener, err := n.Listen(dnsPort)
	if err != nil {
		return nil, fmt.Errorf("listen for DNS queries: %w", err)
	}
	return &names{resolver: r, packets: packets, listener: listener}, nil
}

// serve answers queries until ctx ends.
func (n *names) serve(ctx context.Context) error { return n.resolver.Serve(ctx, n.packets, n.listener) }
