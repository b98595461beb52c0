package catalog

import (
	"cmp"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// Snapshot is what the API listed at one time. It and all that it holds never
// change. Objects come without what only tools and people use (see strip).
type Snapshot struct {
	// Synced is set once everything has been listed. Until then a missing object
	// may exist.
	Synced bool
	// Services, Ingresses, IngressClasses and Nodes are sorted by namespace and name.
	Services       []*corev1.Service
	Ingresses      []*networkingv1.Ingress
	IngressClasses []*networkingv1.IngressClass
	Nodes          []*corev1.Node
	// So are these.
	Namespaces      []*corev1.Namespace
	GatewayClasses  []*gatewayv1.GatewayClass
	Gateways        []*gatewayv1.Gateway
	HTTPRoutes      []*gatewayv1.HTTPRoute
	GRPCRoutes      []*gatewayv1.GRPCRoute
	TLSRoutes       []*gatewayv1.TLSRoute
	ReferenceGrants []*gatewayv1.ReferenceGrant

	services map[types.NamespacedName]*corev1.Service
	slices   map[types.NamespacedName][]*discoveryv1.EndpointSlice
}

// Service returns a service; nil if it does not exist.
func (s *Snapshot) Service(name types.NamespacedName) *corev1.Service { return s.services[name] }

// EndpointSlices returns the endpoint slices of a service.
func (s *Snapshot) EndpointSlices(service types.NamespacedName) []*discoveryv1.EndpointSlice {
	return s.slices[service]
}

// HasReadyEndpoints reports whether a service has any endpoint that is ready.
func (s *Snapshot) HasReadyEndpoints(service types.NamespacedName) bool {
	for _, slice := range s.slices[service] {
		if slices.ContainsFunc(slice.Endpoints, func(e discoveryv1.Endpoint) bool { return Ready(e) }) {
			return true
		}
	}
	return false
}

// Ready reports whether an endpoint is ready. Unknown means ready
// (discovery.k8s.io/v1).
func Ready(e discoveryv1.Endpoint) bool { return e.Conditions.Ready == nil || *e.Conditions.Ready }

// Serving reports whether an endpoint answers, which it may do until it has
// terminated.
func Serving(e discoveryv1.Endpoint) bool {
	if e.Conditions.Serving == nil {
		return Ready(e)
	}
	return *e.Conditions.Serving
}

// newSnapshot makes a snapshot of the stores.
func newSnapshot(s *stores) *Snapshot {
	snapshot := &Snapshot{
		Synced:   s.synced(),
		services: map[types.NamespacedName]*corev1.Service{},
		slices:   map[types.NamespacedName][]*discoveryv1.EndpointSlice{},
	}
	for _, service := range s.services.all() {
		snapshot.services[NameOf(service)] = service
	}
	snapshot.Services = sorted(snapshot.services)
	snapshot.Ingresses = sorted(byName(s.ingresses.all()))
	snapshot.IngressClasses = sorted(byName(s.classes.all()))
	snapshot.Nodes = sorted(byName(s.nodes.all()))
	snapshot.Namespaces = sorted(byName(s.namespaces.all()))
	snapshot.GatewayClasses = sorted(byName(s.gatewayClasses.all()))
	snapshot.Gateways = sorted(byName(s.gateways.all()))
	snapshot.HTTPRoutes = sorted(byName(s.httpRoutes.all()))
	snapshot.GRPCRoutes = sorted(byName(s.grpcRoutes.all()))
	snapshot.TLSRoutes = sorted(byName(s.tlsRoutes.all()))
	snapshot.ReferenceGrants = sorted(byName(s.grants.all()))
	for _, slice := range sorted(byName(s.slices.all())) {
		if service := slice.Labels[discoveryv1.LabelServiceName]; service != "" {
			name := types.NamespacedName{Namespace: slice.Namespace, Name: service}
			snapshot.slices[name] = append(snapshot.slices[name], slice)
		}
	}
	return snapshot
}

// named is an object with a name.
type named interface {
	GetNamespace() string
	GetName() string
}

// NameOf returns the name of an object.
func NameOf(o named) types.NamespacedName {
	return types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
}

func byName[T named](objects []T) map[types.NamespacedName]T {
	all := make(map[types.NamespacedName]T, len(objects))
	for _, o := range objects {
		all[NameOf(o)] = o
	}
	return all
}

func sorted[T any](objects map[types.NamespacedName]T) []T {
	names := slices.SortedFunc(maps.Keys(objects), func(a, b types.NamespacedName) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	all := make([]T, len(names))
	for i, name := range names {
		all[i] = objects[name]
	}
	return all
}
