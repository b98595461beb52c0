package web

import (
	"context"
	"log/slog"
	"net/netip"
	"reflect"
	"slices"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/skiff-dev/skiff/vm/edge/web/gateway"
	"github.com/skiff-dev/skiff/vm/edge/web/route"
)

// statusRetry is how long the writer waits after a status that it could not write.
const statusRetry = 2 * time.Second

// StatusFunc writes the addresses of an Ingress to its status. It returns nil if the
// Ingress does not exist.
type StatusFunc func(ctx context.Context, ingress types.NamespacedName, addresses []networkingv1.IngressLoadBalancerIngress) error

// GatewayStatusFunc writes the status of an object of the Gateway API. It returns nil if
// the object does not exist or has changed.
type GatewayStatusFunc func(context.Context, gateway.Status) error

// addresses are where the Ingresses of a cluster answer: for pods and nodes, and on
// the host.
func addresses(cluster string, gateway netip.Addr) []networkingv1.IngressLoadBalancerIngress {
	var all []networkingv1.IngressLoadBalancerIngress
	if gateway.IsValid() {
		all = append(all, networkingv1.IngressLoadBalancerIngress{IP: gateway.String()})
	}
	return append(all, networkingv1.IngressLoadBalancerIngress{Hostname: route.Name{Cluster: cluster}.String()})
}

// change is a status that must be written.
type change struct {
	ingress   types.NamespacedName
	addresses []networkingv1.IngressLoadBalancerIngress
}

// changes returns the statuses that must be written, so that all routed Ingresses have
// the addresses, and no other one has: such an Ingress was routed until its class
// changed.
func changes(all, routed []*networkingv1.Ingress, addresses []networkingv1.IngressLoadBalancerIngress) []change {
	var needed []change
	for _, i := range all {
		has := reflect.DeepEqual(i.Status.LoadBalancer.Ingress, addresses)
		name := types.NamespacedName{Namespace: i.Namespace, Name: i.Name}
		switch should := slices.Contains(routed, i); {
		case should && !has:
			needed = append(needed, change{name, addresses})
		case !should && has:
			needed = append(needed, change{name, nil})
		}
	}
	return needed
}

// writeStatus writes the statuses that a change of the objects requires. It returns
// false if it must be called again later.
func writeStatus(ctx context.Context, write StatusFunc, needed []change, log *slog.Logger) bool {
	complete := true
	for _, c := range needed {
		if err := write(ctx, c.ingress, c.addresses); err != nil && ctx.Err() == nil {
			log.Warn("cannot write the status of an Ingress, retrying", "ingress", c.ingress, "error", err)
			complete = false
		}
	}
	return complete
}

// writeGatewayStatus is like writeStatus.
func writeGatewayStatus(ctx context.Context, write GatewayStatusFunc, needed []gateway.Status, log *slog.Logger) bool {
	complete := true
	for _, status := range needed {
		if err := write(ctx, status); err != nil && ctx.Err() == nil {
			log.Warn("cannot write a status of the Gateway API, retrying", "error", err)
			complete = false
		}
	}
	return complete
}
