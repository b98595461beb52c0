package network

import (
	"fmt"
	"net/netip"

	"github.com/containers/gvisor-tap-vsock/pkg/tap"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"github.com/skiff-dev/skiff/internal/addressing"
)

// nic is the stack's only interface.
const nic = 1

// firstOwnPort is the first of the ports from which the gateway connects to
// machines. Its services listen below.
const firstOwnPort = 16000

// newStack builds the gateway's IPv4 stack behind a switch. It has the given
// addresses, the gateway's first, and accepts packets to any address, so that its
// forwarders can carry them outside. Machines find it at the addresses in own.
func newStack(addresses []netip.Addr, subnet netip.Prefix, own *ownAddresses) (*stack.Stack, *tap.Switch, error) {
	var possible []string // own is a part of them
	for a := subnet.Masked().Addr(); subnet.Contains(a); a = a.Next() {
		possible = append(possible, a.String())
	}
	inner, err := tap.NewLinkEndpoint(false, addressing.MTU, gatewayMAC, addresses[0].String(), possible)
	if err != nil {
		return nil, nil, err
	}
	endpoint := &link{LinkEndpoint: inner, own: own}
	machines := tap.NewSwitch(false)
	inner.Connect(machines)
	machines.Connect(inner)
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4},
	})
	if err := s.CreateNIC(nic, endpoint); err != nil {
		return nil, nil, fmt.Errorf("create the interface: %s", err)
	}
	for _, a := range addresses {
		address := tcpip.ProtocolAddress{Protocol: ipv4.ProtocolNumber, AddressWithPrefix: tcpipAddress(a).WithPrefix()}
		if err := s.AddProtocolAddress(nic, address, stack.AddressProperties{}); err != nil {
			return nil, nil, fmt.Errorf("set the address %s: %s", a, err)
		}
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
