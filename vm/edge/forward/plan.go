// Package forward lets the host answer for what is inside a cluster: load
// balancers, NodePorts and the ports that the user asked for. Plan decides what the
// host should listen on and where that leads, from values alone; a Forwarder
// listens and carries connections and datagrams.
package forward

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/edge/catalog"
)

// Listener is an address that the host should answer on.
type Listener struct {
	// ID identifies the listener and stays the same after a restart.
	ID string
	// Protocol is cluster.ProtocolTCP or cluster.ProtocolUDP.
	Protocol string
	Address  netip.Addr
	// Port is the wanted one. Unless Fixed is set, another one will do.
	Port  uint16
	Fixed bool
	// Target may change while the host listens.
	Target Target
}

// Target is where a listener leads to.
type Target struct {
	// Addresses in the cluster's network. One that does not answer is passed over.
	Addresses []netip.AddrPort
	// Spread begins with another of them each time.
	Spread bool
	// Pod, if it has a name, is looked up for each connection, to PodPort.
	Pod     types.NamespacedName
	PodPort uint16
}

// Node is a node that connections can be sent to.
type Node struct {
	Name    string
	Address netip.Addr
	// Leaving is set if its machine is about to end: connections through it would be lost.
	Leaving bool
}

// Staying returns the nodes whose machines are not about to end, or all if there are none.
func Staying(nodes []Node) []Node {
	staying := slices.DeleteFunc(slices.Clone(nodes), func(n Node) bool { return n.Leaving })
	if len(staying) == 0 {
		return nodes
	}
	return staying
}

// Input is what Plan decides from.
type Input struct {
	Snapshot *catalog.Snapshot
	// Nodes that run and are Ready, in a stable order.
	Nodes []Node
	// Host are the addresses from which nodes see the host's connections.
	Host []netip.Addr
	// Ports are those that the user asked for; NodePorts adds those of all
	// services.
	Ports     []cluster.Port
	NodePorts bool
	// Own are the loopback addresses that services have to themselves; empty on hosts
	// without such addresses.
	Own map[types.NamespacedName]netip.Addr
}

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// Plan returns the listeners that the host should have, those that cannot move
// first.
func Plan(in Input) []Listener {
	var all []Listener
	for _, p := range in.Ports {
		all = append(all, Listener{
			ID: PortID(p), Protocol: p.Protocol, Address: p.Address, Port: p.Host, Fixed: true, Target: portTarget(in, p),
		})
	}
	for _, service := range in.Snapshot.Services {
		if in.NodePorts {
			all = append(all, nodePorts(in, service)...)
		}
	}
	for _, service := range in.Snapshot.Services {
		if Reachable(service) && Admits(service, in.Host) {
			all = append(all, loadBalancer(in, service)...)
		}
	}
	return all
}

// PortID returns the ID of the listener of a port that the user asked for.
func PortID(p cluster.Port) string { return "port " + p.String() }

// ServiceID returns the ID of a listener of a load balancer on 127.0.0.1, or on
// the service's own loopback address.
func ServiceID(service *corev1.Service, port corev1.ServicePort, own bool) string {
	kind := "service"
	if own {
		kind = "address"
	}
	return fmt.Sprintf("%s %s/%s %d/%s", kind, service.Namespace, service.Name, port.Port, protocol(port.Protocol))
}

// NodePortID returns the ID of the listener of a NodePort.
func NodePortID(service *corev1.Service, port corev1.ServicePort) string {
	return fmt.Sprintf("nodeport %s/%s %d/%s", service.Namespace, service.Name, port.NodePort, protocol(port.Protocol))
}

// protocol returns the name of a protocol here, empty if it cannot be forwarded.
func protocol(p corev1.Protocol) string {
	switch p {
	case corev1.ProtocolTCP, "":
		return cluster.ProtocolTCP
	case corev1.ProtocolUDP:
		return cluster.ProtocolUDP
	default:
		return ""
	}
}

// Reachable reports whether a service is a load balancer that has its address.
func Reachable(service *corev1.Service) bool {
	return service.Spec.Type == corev1.ServiceTypeLoadBalancer && service.DeletionTimestamp == nil && external(service).IsValid()
}

// external returns the first IPv4 address of a load balancer.
func external(service *corev1.Service) netip.Addr {
	for _, ingress := range service.Status.LoadBalancer.Ingress {
		if address, err := netip.ParseAddr(ingress.IP); err == nil && address.Is4() {
			return address
		}
	}
	return netip.Addr{}
}

// clusterIP returns the IPv4 address of a service in the cluster, its second one if
// IPv6 is the first family; the zero Addr if it has none.
func clusterIP(service *corev1.Service) netip.Addr {
	for _, text := range append([]string{service.Spec.ClusterIP}, service.Spec.ClusterIPs...) {
		if address, err := netip.ParseAddr(text); err == nil && address.Is4() {
			return address
		}
	}
	return netip.Addr{}
}

// Admits reports whether a service's loadBalancerSourceRanges contain this host,
// by its loopback address or one that the nodes know. Other hosts are never
// admitted.
func Admits(service *corev1.Service, host []netip.Addr) bool {
	ranges := service.Spec.LoadBalancerSourceRanges
	if len(ranges) == 0 {
		if text := service.Annotations[corev1.AnnotationLoadBalancerSourceRangesKey]; strings.TrimSpace(text) != "" {
			ranges = strings.Split(text, ",")
		}
	}
	if len(ranges) == 0 {
		return true
	}
	for _, text := range ranges {
		prefix, err := netip.ParsePrefix(strings.TrimSpace(text))
		if err != nil {
			continue // the API refuses it; it must not admit anybody
		}
		if prefix.Contains(loopback) || slices.ContainsFunc(host, prefix.Contains) {
			return true
		}
	}
	return false
}

// loadBalancer returns the listeners of a load balancer: one on 127.0.0.1 and, if
// it has an address of its own, one there for each of its ports.
func loadBalancer(in Input, service *corev1.Service) []Listener {
	var all []Listener
	own := in.Own[catalog.NameOf(service)]
	for _, port := range service.Spec.Ports {
		if protocol(port.Protocol) == "" {
			continue
		}
		l := Listener{
			ID: ServiceID(service, port, false), Protocol: protocol(port.Protocol), Address: loopback,
			Port: uint16(port.Port), Target: serviceTarget(in, service, port),
		}
		all = append(all, l)
		if own.IsValid() {
			l.ID, l.Address = ServiceID(service, port, true), own
			all = append(all, l)
		}
	}
	return all
}

func nodePorts(in Input, service *corev1.Service) []Listener {
	if len(service.Spec.IPFamilies) > 0 && !slices.Contains(service.Spec.IPFamilies, corev1.IPv4Protocol) {
		return nil // no node answers over IPv4
	}
	var all []Listener
	for _, port := range service.Spec.Ports {
		if port.NodePort == 0 || protocol(port.Protocol) == "" {
			continue
		}
		all = append(all, Listener{
			ID: NodePortID(service, port), Protocol: protocol(port.Protocol), Address: loopback,
			Port: uint16(port.NodePort), Fixed: true, Target: serviceTarget(in, service, port),
		})
	}
	return all
}

// serviceTarget returns the target for a port of a service: its NodePort on any node
// that takes traffic for it or, without one, the service's address, for which the
// network has a route.
func serviceTarget(in Input, service *corev1.Service, port corev1.ServicePort) Target {
	if port.NodePort == 0 {
		address := external(service)
		if !address.IsValid() {
			address = clusterIP(service)
		}
		if !address.IsValid() {
			return Target{}
		}
		return Target{Addresses: []netip.AddrPort{netip.AddrPortFrom(address, uint16(port.Port))}}
	}
	// The proxy of one node knows which clients it has sent where.
	target := Target{Spread: service.Spec.SessionAffinity != corev1.ServiceAffinityClientIP}
	for _, n := range NodesFor(in, service) {
		target.Addresses = append(target.Addresses, netip.AddrPortFrom(n.Address, uint16(port.NodePort)))
	}
	return target
}

// NodesFor returns the nodes that take traffic from outside for a service. With
// externalTrafficPolicy Local these are the nodes with ready endpoints or, while
// there are none, with endpoints that still serve.
func NodesFor(in Input, service *corev1.Service) []Node {
	if service.Spec.ExternalTrafficPolicy != corev1.ServiceExternalTrafficPolicyLocal {
		return Staying(in.Nodes)
	}
	ready, serving := map[string]bool{}, map[string]bool{}
	for _, slice := range in.Snapshot.EndpointSlices(catalog.NameOf(service)) {
		for _, e := range slice.Endpoints {
			if e.NodeName != nil {
				ready[*e.NodeName] = ready[*e.NodeName] || catalog.Ready(e)
				serving[*e.NodeName] = serving[*e.NodeName] || catalog.Serving(e)
			}
		}
	}
	with := func(names map[string]bool) []Node {
		return slices.DeleteFunc(slices.Clone(in.Nodes), func(n Node) bool { return !names[n.Name] })
	}
	if local := with(ready); len(local) > 0 {
		return Staying(local)
	}
	return Staying(with(serving))
}

// portTarget returns the target of a port that the user asked for.
func portTarget(in Input, p cluster.Port) Target {
	number, _ := strconv.ParseUint(p.Target, 10, 16) // 0 if it is a name
	switch p.Kind {
	case cluster.PortPod:
		return Target{Pod: types.NamespacedName{Namespace: p.Namespace, Name: p.Name}, PodPort: uint16(number)}
	case cluster.PortNode:
		target := Target{Spread: true}
		for _, n := range Staying(in.Nodes) {
			if p.Name == "" {
				target.Addresses = append(target.Addresses, netip.AddrPortFrom(n.Address, uint16(number)))
			}
		}
		for _, n := range in.Nodes {
			if p.Name == n.Name {
				target.Addresses = append(target.Addresses, netip.AddrPortFrom(n.Address, uint16(number)))
			}
		}
		return target
	}
	name := types.NamespacedName{Namespace: p.Namespace, Name: p.Name}
	service := in.Snapshot.Service(name)
	if service == nil {
		return Target{}
	}
	for _, port := range service.Spec.Ports {
		if protocol(port.Protocol) != p.Protocol || port.Name != p.Target && uint64(port.Port) != number {
			continue
		}
		if address := clusterIP(service); address.IsValid() {
			return Target{Addresses: []netip.AddrPort{netip.AddrPortFrom(address, uint16(port.Port))}}
		}
		return Target{Spread: true, Addresses: endpoints(in.Snapshot.EndpointSlices(name), port)}
	}
	return Target{}
}

// endpoints returns the addresses of the ready endpoints for a port of a service
// that has no address of its own.
func endpoints(all []*discoveryv1.EndpointSlice, port corev1.ServicePort) []netip.AddrPort {
	var found []netip.AddrPort
	for _, slice := range all {
		for _, p := range slice.Ports {
			if p.Port == nil || p.Name != nil && *p.Name != port.Name {
				continue
			}
			for _, e := range slice.Endpoints {
				if len(e.Addresses) == 0 || !catalog.Ready(e) {
					continue
				}
				if address, err := netip.ParseAddr(e.Addresses[0]); err == nil && address.Is4() {
					found = append(found, netip.AddrPortFrom(address, uint16(*p.Port)))
				}
			}
		}
	}
	return found
}
