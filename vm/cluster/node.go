package cluster

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

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
	maxWorkers         = balancerNumber - workerNumber
)

// Region is the region of all nodes, which have at most maxZones zones in it.
const (
	Region   = "local"
	maxZones = 26
)

// Node is a node of a cluster. It is derived from the Spec and never changes:
// growing a cluster only adds nodes.
type Node struct {
	Name    string
	Role    nodeconfig.Role
	Address netip.Prefix
	// Address6 is derived from the address; the zero value if the cluster has only
	// IPv4. So is MAC.
	Address6 netip.Prefix
	MAC      string
	// Zone is one of the spec's zones: local-a, local-b and so on.
	Zone string
}

// Nodes returns the nodes of spec: control planes, then workers.
func Nodes(spec Spec) []Node {
	var nodes []Node
	for i := range spec.ControlPlanes {
		nodes = append(nodes, node(spec, nodeconfig.RoleControlPlane, i+1, controlPlaneNumber+i))
	}
	for i := range spec.Workers {
		nodes = append(nodes, node(spec, nodeconfig.RoleWorker, i+1, workerNumber+i))
	}
	return nodes
}

// Find returns the node with a name that the host may give to a node, desired or not.
func Find(spec Spec, name string) (Node, bool) {
	for role, numbers := range map[nodeconfig.Role]struct{ first, max int }{
		nodeconfig.RoleControlPlane: {controlPlaneNumber, maxControlPlanes},
		nodeconfig.RoleWorker:       {workerNumber, maxWorkers},
	} {
		for i := range numbers.max {
			if n := node(spec, role, i+1, numbers.first+i); n.Name == name {
				return n, true
			}
		}
	}
	return Node{}, false
}

// InstanceType names the driver and the size of a cluster's machines: "lima-2cpu-2Gi".
func InstanceType(spec Spec) string {
	return fmt.Sprintf("%s-%dcpu-%s", spec.Driver, spec.CPUs, canonical(spec.Memory))
}

// Leaving returns the control planes that exist, or may exist, and are no longer
// desired. They are members of etcd until they have left it.
func Leaving(state State) []Node {
	var leaving []Node
	for i := state.Spec.ControlPlanes; i < maxControlPlanes; i++ {
		n := node(state.Spec, nodeconfig.RoleControlPlane, i+1, controlPlaneNumber+i)
		if slices.Contains(state.Nodes, n.Name) {
			leaving = append(leaving, n)
		}
	}
	return leaving
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

func node(spec Spec, role nodeconfig.Role, index, number int) Node {
	address := numbered(spec.Network.Nodes, number)
	hardware := addressing.Hardware(address)
	return Node{
		Name:    fmt.Sprintf("%s-%d", role, index),
		Role:    role,
		Address: netip.PrefixFrom(address, spec.Network.Nodes.Bits()), Address6: address6(spec, address),
		MAC:  net.HardwareAddr(hardware[:]).String(),
		Zone: fmt.Sprintf("%s-%c", Region, 'a'+(index-1)%max(spec.Zones, 1)),
	}
}

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
