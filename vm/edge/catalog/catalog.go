// Package catalog keeps a copy of a cluster's services, their endpoints, ingresses,
// gateways and nodes. It watches the API, and keeps the last copy while the API is away.
package catalog

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	gateways "sigs.k8s.io/gateway-api/pkg/client/clientset/versioned"

	"github.com/skiff-dev/skiff/internal/wakeup"
)

// settle is how long a change waits for others, so that a thousand changes are
// not a thousand snapshots.
const settle = 20 * time.Millisecond

// backoff between attempts to reach the API. It is short because the API is on
// this host.
var backoff = wait.Backoff{Duration: 200 * time.Millisecond, Factor: 2, Jitter: 0.5, Cap: 5 * time.Second, Steps: 10}

// Catalog is a copy of a cluster's services. Its methods may be called
// concurrently.
type Catalog struct {
	client   kubernetes.Interface
	gateways gateways.Interface
	log      *slog.Logger
	dirty    wakeup.Signal

	mu     sync.Mutex // guards what follows
	latest *Snapshot
	next   chan struct{}      // closed when latest is replaced
	paused bool               // nothing is watched
	wake   chan struct{}      // closed when paused changes
	end    context.CancelFunc // ends the watches, nil if there are none
}

// New returns a Catalog that is empty until Run is called. The clients' requests
// must not have a time limit.
func New(client kubernetes.Interface, gateways gateways.Interface, log *slog.Logger) *Catalog {
	return &Catalog{
		client: client, gateways: gateways, log: log, dirty: wakeup.New(),
		latest: &Snapshot{}, next: make(chan struct{}), wake: make(chan struct{}),
	}
}

// Snapshot returns the latest snapshot, never nil.
func (c *Catalog) Snapshot() *Snapshot {
	snapshot, _ := c.Watch()
	return snapshot
}

// Watch returns the latest snapshot and a channel that is closed once there is a
// newer one.
func (c *Catalog) Watch() (*Snapshot, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.latest, c.next
}

// Pause closes the connections to the API until Resume.
func (c *Catalog) Pause() { c.setPaused(true) }

// Resume lists and watches again. Resuming a catalog that is not paused does
// nothing.
func (c *Catalog) Resume() { c.setPaused(false) }

func (c *Catalog) setPaused(paused bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.paused == paused {
		return
	}
	c.paused = paused
	close(c.wake)
	c.wake = make(chan struct{})
	if paused && c.end != nil {
		c.end()
	}
}

// Run watches the API until ctx ends; then it returns nil.
func (c *Catalog) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		c.mu.Lock()
		paused, wake := c.paused, c.wake
		watching, end := context.WithCancel(ctx)
		c.end = end
		c.mu.Unlock()
		if paused {
			end()
			select {
			case <-wake:
			case <-ctx.Done():
			}
			continue
		}
		c.watch(watching)
		end()
	}
	return nil
}

// watch publishes snapshots until ctx ends. The first one comes when everything
// has been listed, and replaces what was published before.
func (c *Catalog) watch(ctx context.Context) {
	s := newStores(c.touch)
	var all sync.WaitGroup
	defer all.Wait()
	core, discovery, networking := c.client.CoreV1(), c.client.DiscoveryV1(), c.client.NetworkingV1()
	all.Go(func() { follow(ctx, c, core.Services(""), &corev1.Service{}, &s.services) })
	all.Go(func() { follow(ctx, c, discovery.EndpointSlices(""), &discoveryv1.EndpointSlice{}, &s.slices) })
	all.Go(func() { follow(ctx, c, networking.Ingresses(""), &networkingv1.Ingress{}, &s.ingresses) })
	all.Go(func() { follow(ctx, c, networking.IngressClasses(), &networkingv1.IngressClass{}, &s.classes) })
	all.Go(func() { follow(ctx, c, core.Nodes(), &corev1.Node{}, &s.nodes) })
	all.Go(func() { follow(ctx, c, core.Namespaces(), &corev1.Namespace{}, &s.namespaces) })
	gateway := c.gateways.GatewayV1()
	all.Go(func() { follow(ctx, c, gateway.GatewayClasses(), &gatewayv1.GatewayClass{}, &s.gatewayClasses) })
	all.Go(func() { follow(ctx, c, gateway.Gateways(""), &gatewayv1.Gateway{}, &s.gateways) })
	all.Go(func() { follow(ctx, c, gateway.HTTPRoutes(""), &gatewayv1.HTTPRoute{}, &s.httpRoutes) })
	all.Go(func() { follow(ctx, c, gateway.GRPCRoutes(""), &gatewayv1.GRPCRoute{}, &s.grpcRoutes) })
	all.Go(func() { follow(ctx, c, gateway.TLSRoutes(""), &gatewayv1.TLSRoute{}, &s.tlsRoutes) })
	all.Go(func() { follow(ctx, c, gateway.ReferenceGrants(""), &gatewayv1.ReferenceGrant{}, &s.grants) })
	for {
		select {
		case <-c.dirty:
		case <-ctx.Done():
			return
		}
		if s.synced() {
			c.publish(newSnapshot(s))
		}
		select {
		case <-time.After(settle):
		case <-ctx.Done():
			return
		}
	}
}

// touch makes watch look for changes.
func (c *Catalog) touch() {
	c.dirty.Send()
}

func (c *Catalog) publish(s *Snapshot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.latest = s
	close(c.next)
	c.next = make(chan struct{})
}

// resource is the client of one kind of objects, whose lists have type L.
type resource[L runtime.Object] interface {
	List(ctx context.Context, options metav1.ListOptions) (L, error)
	Watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error)
}

// follow keeps the objects of one kind in a store until ctx ends. A kind that the API does
// not have, because its custom resource does not exist, has no objects.
func follow[L runtime.Object](ctx context.Context, c *Catalog, from resource[L], kind runtime.Object, to cache.ReflectorStore) {
	name := fmt.Sprintf("%T", kind)
	failed := &outage{log: c.log, kind: name}
	list := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			found, err := from.List(ctx, options)
			if apierrors.IsNotFound(err) {
				_ = to.Replace(nil, "") // the reflector lists again after a while
				return found, err
			}
			failed.note(ctx, err)
			return found, err
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			stream, err := from.Watch(ctx, options)
			if !apierrors.IsNotFound(err) {
				failed.note(ctx, err)
			}
			return stream, err
		},
	}
	again := backoff
	silent := logr.Discard()
	reflector := cache.NewReflectorWithOptions(cache.ToListWatcherWithWatchListSemantics(list, c.client), kind, to, cache.ReflectorOptions{Name: name, Backoff: &again, Logger: &silent})
	reflector.RunWithContext(klog.NewContext(ctx, silent))
}

// outage logs when the API goes away and comes back, once each.
type outage struct {
	log  *slog.Logger
	kind string

	mu   sync.Mutex // guards away
	away bool
}

func (o *outage) note(ctx context.Context, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if away := err != nil; away != o.away && ctx.Err() == nil {
		o.away = away
		o.log.Info("the watch of the API changed", "kind", o.kind, "answers", !away, "error", err)
	}
}
