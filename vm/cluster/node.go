package cluster

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/skiff-dev/skiff/internal/addressing"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// Host numbers in the node subnet: the gateway, the host itself where it is
// connected to the machines' bridge, the machines, and the first of the half that
// load balancers have.
const (
	gatewayNumber      = 2
	hostNumber         = 3
	controlPlaneNumber = 11
	workerNumber       = 21
	balancerNumber     = 128
	maxControlPlanes   = 9
)

// MaxWorkers is the maximum number of nodes that are not control planes.
const MaxWorkers = balancerNumber - workerNumber

// Region is the region of all nodes, which have at most maxZones zones in it.
const (
	Region   = "local"
	maxZones = 26
)

// Node is a node of a cluster. Its name and addresses never change.
type Node struct {
	Name string
	Role nodeconfig.Role
	// Group is the name of its Group.
	Group string
	Size  Size
	// Arch is the architecture of its machine if that is not the one of this host, which then
	// emulates it.
	Arch string

	Address netip.Prefix
	// Address6 is derived from the address; the zero value if the cluster has only
	// IPv4. So is MAC.
	Address6 netip.Prefix
	MAC      string
	// Zone is one of the spec's zones: local-a, local-b and so on.
	Zone string
}

// InstanceType names the driver and the size of a node's machine: "lima-2cpu-2Gi".
func InstanceType(spec Spec, n Node) string {
	return fmt.Sprintf("%s-%dcpu-%s", spec.Driver, n.Size.CPUs, canonical(GroupOf(spec, n.Name).Memory))
}

// IsControlPlane reports whether a node's name is that of a control plane.
func IsControlPlane(name string) bool {
	role, _ := nodeconfig.RoleOf(name)
	return role == nodeconfig.RoleControlPlane
}

// HostAddress returns the address of the host in the machines' subnet.
func HostAddress(subnet netip.Prefix) netip.Prefix {
	return netip.PrefixFrom(numbered(subnet, hostNumber), subnet.Bits())
}

// BalancerAddresses returns the part of the machines' subnet from which load balancers
// get their addresses. Its last address is the subnet's broadcast address.
func BalancerAddresses(subnet netip.Prefix) netip.Prefix {
	return netip.PrefixFrom(numbered(subnet, balancerNumber), subnet.Bits()+1)
}

// node returns a node of a group, whose host number is 0 if no address is left for it.
func node(spec Spec, group Group, index, number int) Node {
	role := nodeconfig.RoleWorker
	if group.Name == nodeconfig.GroupControlPlanes {
		role = nodeconfig.RoleControlPlane
	}
	zone := group.Zone
	if zone == "" {
		zone = string(rune('a' + (index-1)%max(spec.Zones, 1)))
	}
	address := numbered(spec.Network.Nodes, number)
	hardware := addressing.Hardware(address)
	return Node{
		Name: fmt.Sprintf("%s-%d", group.Name, index), Role: role, Group: group.Name, Size: group.size(), Arch: group.Foreign(),
		Address: netip.PrefixFrom(address, spec.Network.Nodes.Bits()), Address6: address6(spec, address),
		MAC:  net.HardwareAddr(hardware[:]).String(),
		Zone: Region + "-" + zone,
	}
}

// number returns the node's host number in the machines' subnet.
func (n Node) number() int { return int(n.Address.Addr().As4()[3]) }

func address6(spec Spec, address netip.Addr) netip.Prefix {
	subnet := spec.Network.Ranges6().Nodes
	if !subnet.IsValid() {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(addressing.IPv6(subnet, address), subnet.Bits())
}

// numbered returns the address with a host number in a /24.
func numbered(subnet netip.Prefix, number int) netip.Addr {
	b := subnet.Masked().Addr().As4()
	b[3] = byte(number)
	return netip.AddrFrom4(b)
}

func peers(nodes []Node, role nodeconfig.Role) []nodeconfig.Peer {
	var all []nodeconfig.Peer
	for _, n := range nodes {
		if role == "" || n.Role == role {
			all = append(all, nodeconfig.Peer{Name: n.Name, Address: n.Address.Addr()})
		}
	}
	return all
}
