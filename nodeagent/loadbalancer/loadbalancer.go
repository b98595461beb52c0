// Package loadbalancer keeps one address on the node's loopback interface that
// leads to whichever control plane answers.
package loadbalancer

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/skiff-dev/skiff/internal/balancer"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// service is the API server's own service. The API servers maintain its
// endpoints.
const service = "kubernetes"

// Listen opens the load balancer's port. Its backends are the control planes of
// the node document until Follow replaces them.
func Listen(ctx context.Context, node nodeconfig.Node) (*balancer.Balancer, error) {
	loopback := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), nodeconfig.PortAPILoadBalancer)
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", loopback.String())
	if err != nil {
		return nil, fmt.Errorf("listen for the API load balancer: %w", err)
	}
	b := &balancer.Balancer{Listener: listener}
	b.SetBackends(documented(node))
	return b, nil
}

// documented returns the addresses of the control planes in the node document.
func documented(node nodeconfig.Node) []string {
	var found []string
	for _, peer := range node.ControlPlanes {
		found = append(found, netip.AddrPortFrom(peer.Address, nodeconfig.PortKubernetes).String())
	}
	return found
}

// Follow keeps the backends of b equal to the ready endpoints of the API service
// until ctx ends: control planes come and go while a node runs. A control plane
// that leaves the endpoints is departing. It closes its connections itself once
// it has answered its clients, and a killed one fails the keep-alive probes.
func Follow(ctx context.Context, api kubernetes.Interface, b *balancer.Balancer) error {
	factory := informers.NewSharedInformerFactoryWithOptions(api, 0, informers.WithNamespace(metav1.NamespaceDefault),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, service).String()
		}))
	backends := b.Backends()
	departing := slices.Clone(backends)
	update := func(object any) {
		slice, ok := object.(*discoveryv1.EndpointSlice)
		if !ok {
			return
		}
		found := ready(slice)
		// With no endpoint at all, the previous ones are still the better guess.
		if len(found) == 0 || slices.Equal(found, backends) {
			return
		}
		slog.Info("control planes changed", "addresses", found)
		b.SetBackends(found, departing...)
		backends = found
		departing = append(departing, found...)
		slices.Sort(departing)
		departing = slices.Compact(departing)
	}
	if _, err := factory.Discovery().V1().EndpointSlices().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: update, UpdateFunc: func(_, object any) { update(object) },
	}); err != nil {
		return fmt.Errorf("watch the control planes: %w", err)
	}
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	<-ctx.Done()
	return nil
}

// ready returns the addresses of the ready endpoints of a slice, in order and
// without duplicates.
func ready(slice *discoveryv1.EndpointSlice) []string {
	var found []netip.AddrPort
	for _, p := range slice.Ports {
		if p.Port == nil || *p.Port < 1 || *p.Port > 65535 {
			continue
		}
		for _, e := range slice.Endpoints {
			if e.Conditions.Ready != nil && !*e.Conditions.Ready {
				continue
			}
			for _, text := range e.Addresses {
				if address, err := netip.ParseAddr(text); err == nil {
					found = append(found, netip.AddrPortFrom(address, uint16(*p.Port)))
				}
			}
		}
	}
	slices.SortFunc(found, netip.AddrPort.Compare)
	var addresses []string
	for _, address := range slices.Compact(found) {
		addresses = append(addresses, address.String())
	}
	return addresses
}
