package catalog

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// stores hold the objects of each kind.
type stores struct {
	services  store[*corev1.Service]
	slices    store[*discoveryv1.EndpointSlice]
	ingresses store[*networkingv1.Ingress]
	classes   store[*networkingv1.IngressClass]
	nodes     store[*corev1.Node]

	namespaces     store[*corev1.Namespace]
	gatewayClasses store[*gatewayv1.GatewayClass]
	gateways       store[*gatewayv1.Gateway]
	httpRoutes     store[*gatewayv1.HTTPRoute]
	grpcRoutes     store[*gatewayv1.GRPCRoute]
	tlsRoutes      store[*gatewayv1.TLSRoute]
	grants         store[*gatewayv1.ReferenceGrant]
}

func newStores(changed func()) *stores {
	s := &stores{}
	s.services.changed, s.slices.changed, s.ingresses.changed = changed, changed, changed
	s.classes.changed, s.nodes.changed = changed, changed
	s.namespaces.changed, s.gatewayClasses.changed, s.gateways.changed = changed, changed, changed
	s.httpRoutes.changed, s.grpcRoutes.changed, s.tlsRoutes.changed, s.grants.changed = changed, changed, changed, changed
	return s
}

// synced reports whether every kind has been listed.
func (s *stores) synced() bool {
	return s.services.listed() && s.slices.listed() && s.ingresses.listed() && s.classes.listed() && s.nodes.listed() &&
		s.namespaces.listed() && s.gatewayClasses.listed() && s.gateways.listed() &&
		s.httpRoutes.listed() && s.grpcRoutes.listed() && s.tlsRoutes.listed() && s.grants.listed()
}

// store holds the objects of one kind for a reflector.
type store[T metav1.Object] struct {
	changed func() // called after every change

	mu       sync.Mutex // guards what follows
	objects  map[types.NamespacedName]T
	complete bool // it has been listed
}

var _ cache.ReflectorStore = (*store[*corev1.Service])(nil)

func (s *store[T]) all() []T {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.objects))
}

func (s *store[T]) listed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.complete
}

// Add stores an object.
func (s *store[T]) Add(object any) error { return s.Update(object) }

// Update stores an object.
func (s *store[T]) Update(object any) error {
	return s.change(object, func(o T) {
		if s.objects == nil {
			s.objects = map[types.NamespacedName]T{}
		}
		s.objects[NameOf(o)] = o
	})
}

// Delete removes an object.
func (s *store[T]) Delete(object any) error {
	return s.change(object, func(o T) { delete(s.objects, NameOf(o)) })
}

func (s *store[T]) change(object any, do func(T)) error {
	o, ok := object.(T)
	if !ok {
		return fmt.Errorf("unexpected object of type %T", object)
	}
	strip(o)
	s.mu.Lock()
	do(o)
	s.mu.Unlock()
	s.changed()
	return nil
}

// Replace stores these objects only.
func (s *store[T]) Replace(list []any, _ string) error {
	objects := make(map[types.NamespacedName]T, len(list))
	for _, item := range list {
		o, ok := item.(T)
		if !ok {
			return fmt.Errorf("unexpected object of type %T", item)
		}
		strip(o)
		objects[NameOf(o)] = o
	}
	s.mu.Lock()
	s.objects, s.complete = objects, true
	s.mu.Unlock()
	s.changed()
	return nil
}

// Resync does nothing, because the store has no event handlers.
func (s *store[T]) Resync() error { return nil }
