package cluster

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/skiff-dev/skiff/internal/addressing"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// minMTU is the smallest MTU with which IPv6 works.
const minMTU = 1280

// ServiceAddress returns the ClusterIP of the service "kubernetes": the first
// address of the service range.
func ServiceAddress(network Network) netip.Addr { return network.Services.Masked().Addr().Next() }

// DNSAddress returns the ClusterIP of cluster DNS: the tenth.
func DNSAddress(network Network) netip.Addr {
	address := network.Services.Masked().Addr()
	for range 10 {
		address = address.Next()
	}
	return address
}

// Document returns the node document, which makes a booted image the given node of
// the cluster. files are the node's own certificates and keys.
func Document(state State, n Node, files map[string][]byte, now time.Time) nodeconfig.Node {
	spec := state.Spec
	nodes := append(state.Desired(), state.Leaving()...)
	marks := MarksOf(spec, n.Name)
	gateway := numbered(spec.Network.Nodes, gatewayNumber)
	document := nodeconfig.Node{
		APIVersion: nodeconfig.APIVersion,
		Cluster:    spec.Name,
		Name:       n.Name,
		Role:       n.Role,
		Network: nodeconfig.Network{
			MAC: n.MAC, Address: n.Address, Address6: n.Address6, Gateway: gateway,
			Nameservers: []netip.Addr{gateway}, MTU: cmp.Or(spec.Network.MTU, addressing.MTU),
			Hosts: peers(nodes, ""),
		},
		Kubernetes: nodeconfig.Kubernetes{
			PodCIDR: spec.Network.Pods, ServiceCIDR: spec.Network.Services,
			PodCIDR6: spec.Network.Ranges6().Pods, ServiceCIDR6: spec.Network.Ranges6().Services,
			DNSAddress: DNSAddress(spec.Network), DNSDomain: spec.Network.Domain,
			Without: spec.Network.Without(), Runtimes: slices.Sorted(slices.Values(spec.Runtimes)),
			Cloud: true, Labels: registered(marks.Labels), Taints: marks.Taints,
		},
		ControlPlanes: peers(nodes, nodeconfig.RoleControlPlane),
		Files:         files,
		Written:       now.UTC(),
	}
	if n.Role == nodeconfig.RoleControlPlane {
		document.Kubernetes.GatewayAPI = spec.GatewayAPI
		document.Etcd = membership(state, n, document.ControlPlanes)
	}
	return document
}

// membership returns the etcd settings of a control plane. The first one forms the
// cluster alone. Every other one joins, and so does the first once the cluster has
// formed: if its disk is lost, it must not form a second cluster.
func membership(state State, n Node, all []nodeconfig.Peer) *nodeconfig.Etcd {
	founder := state.Desired()[0]
	if n.Name == founder.Name && !state.Formed {
		all = []nodeconfig.Peer{{Name: n.Name, Address: n.Address.Addr()}}
	}
	return &nodeconfig.Etcd{Members: all, Join: len(all) > 1}
}
