// Package inventory holds the addresses of the cluster's machines as the host gave
// them. What a node says about itself is not trusted.
package inventory

import (
	"fmt"
	"net/netip"

	"github.com/skiff-dev/skiff/internal/addressing"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// Inventory is the cluster's machines as the host knows them.
type Inventory struct {
	// Subnet contains the addresses of all nodes.
	Subnet netip.Prefix
	// Subnet6 contains the IPv6 addresses that follow from them; the zero value if the
	// cluster has only IPv4.
	Subnet6 netip.Prefix
	// Addresses are the nodes' IPv4 addresses by name. A node that joined after this
	// control plane booted may be missing.
	Addresses map[string]netip.Addr
}

// Of returns the inventory that a control plane's document describes.
func Of(node nodeconfig.Node) Inventory {
	i := Inventory{Subnet: node.Network.Address.Masked(), Subnet6: node.Network.Address6.Masked(), Addresses: map[string]netip.Addr{}}
	for _, host := range node.Network.Hosts {
		i.Addresses[host.Name] = host.Address
	}
	return i
}

// Check returns an error if the address cannot be the node's. known reports
// whether the inventory has the node's address; if not, the node may have any address
// of the subnet that no other node has.
func (i Inventory) Check(node string, address netip.Addr) (known bool, err error) {
	if own, known := i.Addresses[node]; known {
		if address != own && address != i.ipv6(own) {
			return true, fmt.Errorf("address %s is not that of node %s, which has %s", address, node, nodeconfig.Joined(own, i.ipv6(own)))
		}
		return true, nil
	}
	for other, taken := range i.Addresses {
		if address == taken || address == i.ipv6(taken) {
			return false, fmt.Errorf("address %s belongs to node %s", address, other)
		}
	}
	if !i.Subnet.Contains(address) && !i.Subnet6.Contains(address) {
		return false, fmt.Errorf("address %s is outside the node subnet %s", address, nodeconfig.Joined(i.Subnet, i.Subnet6))
	}
	return false, nil
}

// ipv6 returns the IPv6 address of the node with an IPv4 address, the zero Addr if the
// cluster has only IPv4.
func (i Inventory) ipv6(ipv4 netip.Addr) netip.Addr { return addressing.IPv6(i.Subnet6, ipv4) }
