package network

import (
	"net/netip"
	"slices"

	"sigs.k8s.io/knftables"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

const (
	tableName = "skiff-network"
	nodesSet  = "nodes"
)

// masqueradeRules replaces the whole table: connections from pods to pods and nodes
// keep their source, all others get the node's address. The nodes' subnet is not
// exempt as a whole, because its gateway has no route back to pods.
func masqueradeRules(tx *knftables.Transaction, pods netip.Prefix, nodes []netip.Addr) {
	tx.Add(&knftables.Table{Comment: knftables.PtrTo("pods that leave the cluster")})
	tx.Add(&knftables.Set{Name: nodesSet, Type: "ipv4_addr"})
	tx.Flush(&knftables.Set{Name: nodesSet})
	for _, node := range nodes {
		tx.Add(&knftables.Element{Set: nodesSet, Key: []string{node.String()}})
	}
	tx.Add(&knftables.Chain{
		Name:     "postrouting",
		Type:     knftables.PtrTo(knftables.NATType),
		Hook:     knftables.PtrTo(knftables.PostroutingHook),
		Priority: knftables.PtrTo(knftables.SNATPriority),
	})
	tx.Flush(&knftables.Chain{Name: "postrouting"})
	for _, rule := range [][]any{
		{"ip saddr !=", pods.String(), "return"},
		{"ip daddr", pods.String(), "return"},
		{"ip daddr", "@" + nodesSet, "return"},
		{"ip daddr", "224.0.0.0/4", "return"},
		{"masquerade"},
	} {
		tx.Add(&knftables.Rule{Chain: "postrouting", Rule: knftables.Concat(rule...)})
	}
}

// nodeAddresses returns the addresses of the machines in the document and of the
// nodes that have joined since, sorted.
func nodeAddresses(node nodeconfig.Node, ranges map[string]place) []netip.Addr {
	addresses := []netip.Addr{node.Network.Address.Addr()}
	for _, peer := range node.Network.Hosts {
		addresses = append(addresses, peer.Address)
	}
	for _, p := range ranges {
		addresses = append(addresses, p.address)
	}
	gateway := node.Network.Gateway
	addresses = slices.DeleteFunc(addresses, func(a netip.Addr) bool { return !a.Is4() || a == gateway })
	slices.SortFunc(addresses, netip.Addr.Compare)
	return slices.Compact(addresses)
}
