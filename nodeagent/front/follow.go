package front

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// service is the API servers' own, whose endpoints they keep themselves.
const service = "kubernetes"

// Follow keeps the backends what the API servers say they are, until ctx ends:
// control planes come and go while a node runs.
func (f *Front) Follow(ctx context.Context, api kubernetes.Interface) error {
	factory := informers.NewSharedInformerFactoryWithOptions(api, 0, informers.WithNamespace(metav1.NamespaceDefault),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, service).String()
		}))
	learn := func(object any) {
		slice, ok := object.(*discoveryv1.EndpointSlice)
		if !ok {
			return
		}
		// Without any the old ones are still the better guess.
		if found := backends(slice); len(found) > 0 {
			f.setBackends(found)
		}
	}
	if _, err := factory.Discovery().V1().EndpointSlices().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: learn, UpdateFunc: func(_, object any) { learn(object) },
	}); err != nil {
		return fmt.Errorf("watch the control planes: %w", err)
	}
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	<-ctx.Done()
	return nil
}

// backends are the ready endpoints of a slice, in order.
func backends(slice *discoveryv1.EndpointSlice) []netip.AddrPort {
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
	return slices.Compact(found)
}

func (f *Front) setBackends(found []netip.AddrPort) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.Equal(f.Backends, found) {
		slog.Info("control planes", "addresses", found)
		f.Backends = found
	}
}

// candidates are the backends in the order in which they are tried.
func (f *Front) candidates() []netip.AddrPort {
	f.mu.Lock()
	defer f.mu.Unlock()
	return order(f.Backends, f.last)
}
