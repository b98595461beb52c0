package cluster

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// Host numbers in the node subnet: the gateway, the host itself where it is
// connected to the machines' bridge, and the machines.
const (
	gatewayNumber      = 2
	hostNumber         = 3
	controlPlaneNumber = 11
	workerNumber       = 21
	maxControlPlanes   = 9
	maxWorkers         = 254 - workerNumber + 1
)

// Node is a node of a cluster. It is derived from the Spec and never changes:
// growing a cluster only adds nodes.
type Node struct {
	Name    string
	Role    nodeconfig.Role
	Address netip.Prefix
	// MAC is derived from the address.
	MAC string
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

func node(spec Spec, role nodeconfig.Role, index, number int) Node {
	address := numbered(spec.Network.Nodes, number)
	b := address.As4()
	return Node{
		Name:    fmt.Sprintf("%s-%d", role, index),
		Role:    role,
		Address: netip.PrefixFrom(address, spec.Network.Nodes.Bits()),
		// A locally administered address, with Lima's prefix.
		MAC: fmt.Sprintf("52:55:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3]),
	}
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
