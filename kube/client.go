// Package kube connects a dashboard to the API server of a cluster. It turns
// needs into lists and watches, and tasks into requests. It uses no terminal, so
// any kind of user interface can build on it. Delivered values are immutable.
package kube

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
)

// Client is a client of one cluster.
type Client struct {
	name    string
	config  *rest.Config
	raw     *rest.RESTClient
	typed   *kubernetes.Clientset
	dynamic *dynamic.DynamicClient
	ports   *Forwarder
	// shared keeps client-go's cached transport for config alive. kubectl's
	// describers look it up on every use. client-go only holds it weakly, and
	// would leak its open connections each time it is collected.
	shared http.RoundTripper

	mu        sync.Mutex // guards what follows
	resources []object.Resource
}

// requestLimit is the timeout of requests other than watches.
const requestLimit = 15 * time.Second

// New returns a client of the named cluster for a kubeconfig. An empty
// contextName selects the kubeconfig's current context. Forward adds to ports.
// New sends no request.
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

// ForConfig is like New, for a REST configuration. Its user agent, "skiff-ui" if it
// has none, is also the manager of the fields that the client changes.
func ForConfig(name string, config *rest.Config, ports *Forwarder) (*Client, error) {
	config = rest.CopyConfig(config)
	config.QPS = -1 // no client-side limit: the API server has priority and fairness
	if config.UserAgent == "" {
		config.UserAgent = "skiff-ui"
	}
	config.WarningHandler = rest.NoWarnings{} // they would be printed over the dashboard
	config.DisableCompression = true          // the server is on this host or close to it
	c := &Client{name: name, config: config, ports: ports}
	httpClient, err := newHTTPClient(config, pingAfter, pingTimeout)
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

// Forward forwards a port of this host, 0 for any free one, to a port of pods
// until ctx ends. It returns the port of this host.
func (c *Client) Forward(ctx context.Context, ref object.Ref, local int, remote string) (int, error) {
	return c.ports.Start(ctx, c, ref, local, remote)
}

// Run delivers what need asks for until ctx ends. emit must not block.
func (c *Client) Run(ctx context.Context, need feed.Need, emit func(any)) {
	switch need := need.(type) {
	case feed.Objects:
		c.objects(ctx, need, emit)
	case feed.Catalog:
		c.catalog(ctx, emit)
	case feed.Text:
		c.text(ctx, need, emit)
	case feed.Logs:
		c.logs(ctx, need, emit)
	case feed.Usage:
		c.usage(ctx, emit)
	case feed.ControlPlane:
		c.controlPlane(ctx, emit)
	case feed.Tree:
		c.tree(ctx, need, emit)
	case feed.PodContainers:
		c.containers(ctx, need, emit)
	}
}

func gvr(r object.Resource) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: r.Group, Version: r.Version, Resource: r.Name}
}

// resourceClient returns a client for the resource and namespace of ref.
func (c *Client) resourceClient(ref object.Ref) dynamic.ResourceInterface {
	if ref.Resource.Namespaced {
		return c.dynamic.Resource(gvr(ref.Resource)).Namespace(ref.Namespace)
	}
	return c.dynamic.Resource(gvr(ref.Resource))
}
