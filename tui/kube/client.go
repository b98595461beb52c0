// Package kube is what the screens know of Kubernetes: it turns needs into
// watches of an API server and tasks into requests to it. What it delivers is
// never changed afterwards.
package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/skiff-dev/skiff/tui/feed"
	"github.com/skiff-dev/skiff/tui/object"
)

// Client speaks to one cluster.
type Client struct {
	name    string
	config  *rest.Config
	raw     *rest.RESTClient
	typed   *kubernetes.Clientset
	dynamic *dynamic.DynamicClient
	ports   *Forwarder
	// shared is the transport that client-go gives to all who connect by config,
	// as kubectl's describers do at each look: it forgets, with its connections
	// open, one that nobody holds.
	shared http.RoundTripper

	mu        sync.Mutex // guards what follows
	resources []object.Resource
}

// requestLimit is how long a request that is no watch may take.
const requestLimit = 15 * time.Second

// New returns a client of the cluster called name from a kubeconfig's content;
// context is that of the kubeconfig, its current one if empty; ports holds what
// is forwarded. It touches nothing.
func New(name string, kubeconfig []byte, contextName string, ports *Forwarder) (*Client, error) {
	file, err := clientcmd.Load(kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig of %s: %w", name, err)
	}
	config, err := clientcmd.NewNonInteractiveClientConfig(*file, contextName, nil, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig of %s: %w", name, err)
	}
	return ForConfig(name, config, ports)
}

// ForConfig is New for a cluster that is known already.
func ForConfig(name string, config *rest.Config, ports *Forwarder) (*Client, error) {
	config = rest.CopyConfig(config)
	config.QPS = -1 // the API server has its own priorities and fairness
	config.UserAgent = "skiff-ui"
	config.WarningHandler = rest.NoWarnings{} // they would be written on the screen
	config.DisableCompression = true          // it is on this host, or nearly so
	c := &Client{name: name, config: config, ports: ports}
	httpClient, err := heedful(config, quietLimit, pingLimit)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", name, err)
	}
	if c.shared, err = rest.TransportFor(config); err != nil {
		return nil, fmt.Errorf("connect to %s: %w", name, err)
	}
	plain := rest.CopyConfig(config)
	plain.GroupVersion = &schema.GroupVersion{}
	plain.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	if c.raw, err = rest.UnversionedRESTClientForConfigAndClient(plain, httpClient); err != nil {
		return nil, fmt.Errorf("connect to %s: %w", name, err)
	}
	if c.typed, err = kubernetes.NewForConfigAndClient(config, httpClient); err != nil {
		return nil, fmt.Errorf("connect to %s: %w", name, err)
	}
	if c.dynamic, err = dynamic.NewForConfigAndClient(config, httpClient); err != nil {
		return nil, fmt.Errorf("connect to %s: %w", name, err)
	}
	return c, nil
}

// Forward connects a port of this host, 0 for any free one, to one of pods
// until ctx ends, and returns it.
func (c *Client) Forward(ctx context.Context, ref object.Ref, local int, remote string) (int, error) {
	return c.ports.Start(ctx, c, ref, local, remote)
}

// Run answers need until ctx ends, and returns when it has. emit must not block.
func (c *Client) Run(ctx context.Context, need feed.Need, emit func(any)) {
	switch need := need.(type) {
	case feed.Objects:
		newTableWatch(c, need).run(ctx, emit)
	case feed.Catalog:
		c.catalog(ctx, emit)
	case feed.Text:
		c.text(ctx, need, emit)
	case feed.Logs:
		c.logs(ctx, need, emit)
	case feed.Usage:
		c.usage(ctx, emit)
	case feed.ControlPlane:
		c.health(ctx, emit)
	case feed.Tree:
		c.family(ctx, need, emit)
	case feed.PodContainers:
		c.inside(ctx, need, emit)
	}
}

// resource finds a resource by any of its names.
func (c *Client) resource(ctx context.Context, name string) (object.Resource, error) {
	c.mu.Lock()
	known := c.resources
	c.mu.Unlock()
	if r, ok := object.Find(known, name); ok {
		return r, nil
	}
	known, err := c.discover(ctx)
	if len(known) == 0 && err != nil {
		return object.Resource{}, err
	}
	if r, ok := object.Find(known, name); ok {
		return r, nil
	}
	return object.Resource{}, fmt.Errorf("the server doesn't have a resource type %q", name)
}

func gvr(r object.Resource) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: r.Group, Version: r.Version, Resource: r.Name}
}

// at is the dynamic client of the objects beside ref.
func (c *Client) at(ref object.Ref) dynamic.ResourceInterface {
	if ref.Resource.Namespaced {
		return c.dynamic.Resource(gvr(ref.Resource)).Namespace(ref.Namespace)
	}
	return c.dynamic.Resource(gvr(ref.Resource))
}

// freshness says what an error means for data.
func freshness(err error, at time.Time) object.Freshness {
	switch {
	case err == nil:
		return object.Freshness{State: object.Live, At: at}
	case apierrors.IsForbidden(err), apierrors.IsNotFound(err), apierrors.IsMethodNotSupported(err), apierrors.IsUnauthorized(err):
		return object.Freshness{State: object.Refused, At: at, Problem: Reason(err)}
	}
	return object.Freshness{State: object.Lost, At: at, Problem: Reason(err)}
}

// Reason is an error in one line without what the person knows already.
func Reason(err error) string {
	if err == nil {
		return ""
	}
	var network *net.OpError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "timed out waiting for a response"
	case errors.As(err, &network) && network.Op == "dial":
		return "cannot connect to " + network.Addr.String()
	case strings.Contains(err.Error(), "http2: client connection lost"): // no error of its own is exported
		return "the server stopped responding"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed"
	}
	return strings.Join(strings.Fields(err.Error()), " ")
}

// pause waits, or returns false when ctx ends.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// every calls do at once and then after each interval until ctx ends.
func every(ctx context.Context, interval time.Duration, do func(context.Context)) {
	for {
		limited, cancel := context.WithTimeout(ctx, requestLimit)
		do(limited)
		cancel()
		if !pause(ctx, interval) {
			return
		}
	}
}
