package edge

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/edge/catalog"
	"github.com/skiff-dev/skiff/vm/edge/forward"
	"github.com/skiff-dev/skiff/vm/machine"
)

// view is what routes and listeners are decided from.
type view struct {
	snapshot *catalog.Snapshot
	network  cluster.Network
	// members are all nodes that belong to the cluster.
	members []cluster.Node
	states  map[string]machine.State // of their machines, by name
	leaving map[string]bool          // whose machines are about to end, by name
}

// usable returns the nodes that take traffic from outside: they run, are Ready and
// not excluded from load balancers. Workers come first, because a control plane is
// the more likely one to leave.
func (v view) usable() []forward.Node {
	var workers, others []forward.Node
	for _, n := range v.members {
		object := v.object(n.Name)
		if v.states[n.Name] != machine.StateRunning || object == nil || !isReady(object) || isExcluded(object) {
			continue
		}
		node := forward.Node{Name: n.Name, Address: n.Address.Addr(), Leaving: v.leaving[n.Name]}
		if n.Role == nodeconfig.RoleWorker {
			workers = append(workers, node)
		} else {
			others = append(others, node)
		}
	}
	return append(workers, others...)
}

// settled reports whether all nodes that took traffic before a pause, and whose machines
// run, take it again.
func (v view) settled(before []forward.Node) bool {
	now := v.usable()
	return !slices.ContainsFunc(before, func(n forward.Node) bool {
		return v.states[n.Name] == machine.StateRunning && !slices.ContainsFunc(now, func(other forward.Node) bool { return other.Name == n.Name })
	})
}

func (v view) object(name string) *corev1.Node {
	i := slices.IndexFunc(v.snapshot.Nodes, func(n *corev1.Node) bool { return n.Name == name })
	if i < 0 {
		return nil
	}
	return v.snapshot.Nodes[i]
}

func isReady(n *corev1.Node) bool {
	return slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}

func isExcluded(n *corev1.Node) bool {
	_, excluded := n.Labels[corev1.LabelNodeExcludeBalancers]
	return excluded
}

// routes returns the way to pods, services and load balancers. Services are reached
// through any usable node; the one that was used before is kept. Nothing that the
// API says may lead to a machine's own address.
func (v view) routes(before netip.Addr) (routes []machine.Route, via netip.Addr) {
	for _, n := range v.members {
		pods := v.pods(n.Name)
		overlaps := func(r machine.Route) bool { return r.Destination.Overlaps(pods) }
		if v.states[n.Name] == machine.StateRunning && pods.IsValid() && !slices.ContainsFunc(routes, overlaps) {
			routes = append(routes, machine.Route{Destination: pods, Via: n.Address.Addr()})
		}
	}
	nodes := v.usable()
	if len(nodes) == 0 {
		return routes, netip.Addr{}
	}
	staying := forward.Staying(nodes)
	via = staying[0].Address
	if slices.ContainsFunc(staying, func(n forward.Node) bool { return n.Address == before }) {
		via = before
	}
	routes = append(routes, machine.Route{Destination: v.network.Services.Masked(), Via: via})
	return append(routes, v.loadBalancers(nodes, via)...), via
}

// pods returns the range of a node's pods.
func (v view) pods(name string) netip.Prefix {
	object := v.object(name)
	if object == nil {
		return netip.Prefix{}
	}
	pods, err := netip.ParsePrefix(object.Spec.PodCIDR)
	if err != nil || pods != pods.Masked() || pods.Bits() < v.network.Pods.Bits() || !v.network.Pods.Overlaps(pods) {
		return netip.Prefix{}
	}
	return pods
}

// loadBalancers returns a route for the address of each load balancer. All other
// addresses of the subnet are, or may become, those of machines.
func (v view) loadBalancers(nodes []forward.Node, via netip.Addr) []machine.Route {
	var routes []machine.Route
	pool, seen := cluster.BalancerAddresses(v.network.Nodes), map[netip.Addr]bool{}
	for _, service := range v.snapshot.Services {
		if !forward.Reachable(service) {
			continue
		}
		for _, ingress := range service.Status.LoadBalancer.Ingress {
			address, err := netip.ParseAddr(ingress.IP)
			if err != nil || !pool.Contains(address) || seen[address] {
				continue
			}
			seen[address] = true
			route := machine.Route{Destination: netip.PrefixFrom(address, 32), Via: via}
			if local := forward.NodesFor(forward.Input{Snapshot: v.snapshot, Nodes: nodes}, service); len(local) > 0 && !slices.ContainsFunc(local, func(n forward.Node) bool { return n.Address == via }) {
				route.Via = local[0].Address
			}
			routes = append(routes, route)
		}
	}
	return routes
}
