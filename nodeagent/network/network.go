// Package network maintains the pod network: a pod's address is reachable from
// every node and every pod without translation, and connections that leave the
// cluster have the node's address.
//
// Each pod has a link of its own (CNI ptp) with an address from its node's range.
// Nodes share a subnet and route each other's ranges directly, so there is no
// encapsulation and nothing to configure except routes. In a cluster with both
// families the same is true of IPv6, which stays inside: nothing beyond the cluster
// has a route.
package network

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/vishvananda/netlink"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/knftables"

	"github.com/skiff-dev/skiff/internal/wakeup"
	"github.com/skiff-dev/skiff/nodeagent/client"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// resync is how often everything is reconciled without an event, in case another
// program changed a route or a rule.
const resync = 2 * time.Minute

// retry is the pause after a failed reconciliation.
const retry = 2 * time.Second

// Network is one node's part of the pod network.
type Network struct {
	Node nodeconfig.Node
	// Nodes has every node of the cluster. Its owner starts it.
	Nodes coreinformers.NodeInformer
	// CNIDir is where the container runtime looks for its network, usually
	// /etc/cni/net.d.
	CNIDir string
	// Reconciled, if set, is called after each reconciliation that succeeded. configured is
	// false while the node has no range for its pods, and so no network.
	Reconciled func(configured bool)
}

// Run reconciles until ctx ends.
func (n Network) Run(ctx context.Context) error {
	changed := wakeup.New()
	registration, err := n.Nodes.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { changed.Send() },
		UpdateFunc: func(old, new any) {
			if placed(old) != placed(new) {
				changed.Send()
			}
		},
		DeleteFunc: func(any) { changed.Send() },
	})
	if err != nil {
		return fmt.Errorf("watch nodes: %w", err)
	}
	defer func() { _ = n.Nodes.Informer().RemoveEventHandler(registration) }()
	if !cache.WaitForCacheSync(ctx.Done(), n.Nodes.Informer().HasSynced) {
		return nil
	}
	PrepareKernel(n.Node.Dual())
	for {
		wait := resync
		configured, err := n.reconcile(ctx)
		switch {
		case err == nil && n.Reconciled != nil:
			n.Reconciled(configured)
		case err != nil && ctx.Err() == nil:
			slog.Error("cannot reconcile the pod network, retrying", "error", err)
			wait = retry
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-time.After(wait):
		}
	}
}

// reconcile returns whether the container runtime has a network. It is idempotent.
func (n Network) reconcile(ctx context.Context) (configured bool, err error) {
	objects, err := n.Nodes.Lister().List(labels.Everything())
	if err != nil {
		return false, fmt.Errorf("list nodes: %w", err)
	}
	ranges := clusterRanges(objects, n.Node)
	if err := n.masquerade(ctx, ranges); err != nil {
		return false, err
	}
	link, err := linkWith(n.Node.Network.Address.Addr())
	if err != nil {
		return false, err
	}
	want := desiredRoutes(ranges, n.Node.Name, n.Node.Kubernetes.PodCIDR)
	if err := applyRoutes(netlink.FAMILY_V4, link, want); err != nil {
		return false, err
	}
	if n.Node.Dual() {
		neighbours := desiredNeighbours(n.Node, nodeAddresses(n.Node, ranges))
		err := errors.Join(
			applyNeighbours(link, n.Node.Network.Address6.Masked(), neighbours),
			applyRoutes(netlink.FAMILY_V6, link, desiredRoutes6(ranges, n.Node, neighbours)))
		if err != nil {
			return false, err
		}
	}
	own := ranges[n.Node.Name]
	if !own.pods.IsValid() || n.Node.Dual() && !own.pods6.IsValid() {
		slog.Info("the node has no pod range yet")
		return false, nil
	}
	list, err := conflist(n.Node, own)
	if err != nil {
		return false, err
	}
	err = writeIfChanged(filepath.Join(n.CNIDir, conflistName), list)
	return err == nil, err
}

func (n Network) masquerade(ctx context.Context, ranges map[string]place) error {
	nft, err := knftables.New(knftables.IPv4Family, tableName)
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	tx := nft.NewTransaction()
	masqueradeRules(tx, n.Node.Kubernetes.PodCIDR, nodeAddresses(n.Node, ranges))
	if err := nft.Run(ctx, tx); err != nil {
		return fmt.Errorf("write nftables table %s: %w", tableName, err)
	}
	return nil
}

// place is a node's address and the ranges of its pods.
type place struct {
	address     netip.Addr   // IPv4
	pods, pods6 netip.Prefix // invalid until the cluster has assigned them
}

// clusterRanges returns each node's place by its name. A node reports its own
// address, so an address outside the nodes' subnet and a range outside the cluster's
// are ignored.
func clusterRanges(nodes []*corev1.Node, document nodeconfig.Node) map[string]place {
	ranges := make(map[string]place, len(nodes))
	for _, node := range nodes {
		p := placed(node)
		if !document.Network.Address.Masked().Contains(p.address) {
			continue
		}
		p.pods = inside(document.Kubernetes.PodCIDR, p.pods)
		p.pods6 = inside(document.Kubernetes.PodCIDR6, p.pods6)
		ranges[node.Name] = p
	}
	return ranges
}

// inside returns a part of a range, or the zero Prefix for anything else.
func inside(whole, part netip.Prefix) netip.Prefix {
	if part.IsValid() && whole.Contains(part.Addr()) && part.Bits() > whole.Bits() {
		return part
	}
	return netip.Prefix{}
}

// placed returns the place in a Node object, or the zero place for anything else.
func placed(object any) place {
	node, ok := object.(*corev1.Node)
	if !ok {
		return place{}
	}
	var p place
	for _, address := range node.Status.Addresses {
		if address.Type != corev1.NodeInternalIP {
			continue
		}
		if parsed, err := netip.ParseAddr(address.Address); err == nil && parsed.Is4() {
			p.address = parsed
			break
		}
	}
	for _, text := range append([]string{node.Spec.PodCIDR}, node.Spec.PodCIDRs...) {
		parsed, err := netip.ParsePrefix(text)
		switch {
		case err != nil:
		case parsed.Addr().Is4() && !p.pods.IsValid():
			p.pods = parsed.Masked()
		case parsed.Addr().Is6() && !p.pods6.IsValid():
			p.pods6 = parsed.Masked()
		}
	}
	return p
}

// writeIfChanged does not write a file that already has the content, since the
// container runtime reloads it after each write.
func writeIfChanged(path string, content []byte) error {
	if same(path, content) {
		return nil
	}
	slog.Info("writing the pod network's configuration", "path", path)
	return client.WriteFile(path, content, 0o644)
}
