// Package inventory holds the addresses of the cluster's machines as the host gave
// them. What a node says about itself is not trusted.
package inventory

import (
	"fmt"
	"net/netip"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// Inventory is the cluster's machines as the host knows them.
type Inventory struct {
	// Subnet contains the addresses of all nodes.
	Subnet netip.Prefix
	// Addresses are the nodes' addresses by name. A node that joined after this
	// control plane booted may be missing.
	Addresses map[string]netip.Addr
}

// Of returns the inventory that a control plane's document describes.
func Of(node nodeconfig.Node) Inventory {
	i := Inventory{Subnet: node.Network.Address.Masked(), Addresses: map[string]netip.Addr{}}
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
		if address != own {
			return true, fmt.Errorf("address %s is not that of node %s, which has %s", address, node, own)
		}
		return true, nil
	}
	for other, taken := range i.Addresses {
		if address == taken {
			return false, fmt.Errorf("address %s belongs to node %s", address, other)
		}
	}
	if !i.Subnet.Contains(address) {
		return false, fmt.Errorf("address %s is outside the node subnet %s", address, i.Subnet)
	}
	return false, nil
}
