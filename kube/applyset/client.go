package applyset

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"

	"github.com/skiff-dev/skiff/internal/pause"
)

// fieldManager owns the fields that sets determine.
const fieldManager = "skiff-addons"

const (
	// pollEvery is how often the state of objects is read.
	pollEvery = 200 * time.Millisecond
	// kindLimit is how long the kind of an object may be unknown: controllers may create
	// definitions when they start.
	kindLimit = time.Minute
	// foundLimit is how long a namespace may be missing, or a new definition not be served.
	foundLimit = 10 * time.Second
)

// Client applies sets to one cluster.
type Client struct {
	typed   *kubernetes.Clientset
	dynamic *dynamic.DynamicClient
	mapper  *restmapper.DeferredDiscoveryRESTMapper
}

// New returns a client. It sends no request.
func New(config *rest.Config) (*Client, error) {
	config = rest.CopyConfig(config)
	config.QPS = -1 // the API server has priority and fairness
	config.WarningHandler = rest.NoWarnings{}
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	typed, err := kubernetes.NewForConfigAndClient(config, httpClient)
	if err != nil {
		return nil, err
	}
	client, err := dynamic.NewForConfigAndClient(config, httpClient)
	if err != nil {
		return nil, err
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(typed.Discovery()))
	return &Client{typed: typed, dynamic: client, mapper: mapper}, nil
}

// Discovery returns a client for the APIs that the cluster serves.
func (c *Client) Discovery() discovery.DiscoveryInterface { return c.typed.Discovery() }

// List returns the sets that the cluster knows, by name.
func (c *Client) List(ctx context.Context) (map[string]Recorded, error) {
	list, err := c.typed.CoreV1().ConfigMaps(parentNamespace).List(ctx, metav1.ListOptions{LabelSelector: labelSet})
	if err != nil {
		return nil, fmt.Errorf("list addons: %w", err)
	}
	all := map[string]Recorded{}
	for i := range list.Items {
		if r := recorded(&list.Items[i]); list.Items[i].Name == parentPrefix+r.Name {
			all[r.Name] = r
		}
	}
	return all, nil
}

// record writes what the cluster knows of a set. It fails if it has changed since it was
// read.
func (c *Client) record(ctx context.Context, r Recorded) (Recorded, error) {
	client := c.typed.CoreV1().ConfigMaps(parentNamespace)
	var o *corev1.ConfigMap
	var err error
	if r.parent == nil {
		o, err = client.Create(ctx, r.configMap(), metav1.CreateOptions{FieldManager: fieldManager})
	} else {
		o, err = client.Update(ctx, r.configMap(), metav1.UpdateOptions{FieldManager: fieldManager})
	}
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || r.parent != nil && apierrors.IsNotFound(err) {
		return r, errors.New("another command is changing the addons of this cluster")
	}
	if err != nil {
		return r, fmt.Errorf("record addon %s: %w", r.Name, err)
	}
	return recorded(o), nil
}

// client returns a client for the resource of an object. It sets the object's namespace, or
// removes it if the resource has none.
func (c *Client) client(o *unstructured.Unstructured, namespace string) (dynamic.ResourceInterface, error) {
	kind := o.GroupVersionKind()
	mapping, err := c.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return nil, err
	}
	resource := c.dynamic.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameRoot {
		o.SetNamespace("")
		return resource, nil
	}
	if o.GetNamespace() == "" {
		o.SetNamespace(namespace)
	}
	return resource.Namespace(o.GetNamespace()), nil
}

// retry calls do until it succeeds, or fails for a reason that does not go away by itself:
// definitions, webhooks and aggregated APIs need a moment until they serve.
func (c *Client) retry(ctx context.Context, do func() error, notify func(string)) error {
	begun := time.Now()
	for {
		err := do()
		if err == nil || ctx.Err() != nil || time.Since(begun) > patience(err) {
			return err
		}
		if time.Since(begun) > time.Second {
			notify("waiting: " + oneLine(err.Error()))
		}
		if err := pause.For(ctx, pollEvery); err != nil {
			return err
		}
		if !temporary(err) {
			c.mapper.Reset()
		}
	}
}

// patience returns how long an error may last.
func patience(err error) time.Duration {
	switch {
	case temporary(err):
		return math.MaxInt64 // as long as the caller waits
	case meta.IsNoMatchError(err):
		return kindLimit
	case apierrors.IsNotFound(err):
		return foundLimit
	}
	return 0
}

// temporary reports whether a request may succeed later. An API server answers with an
// internal error if a webhook cannot be called.
func temporary(err error) bool {
	return apierrors.IsInternalError(err) || apierrors.IsServiceUnavailable(err) || apierrors.IsTimeout(err) ||
		apierrors.IsServerTimeout(err) || apierrors.IsTooManyRequests(err) || discovery.IsGroupDiscoveryFailedError(err)
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// members returns the objects in the cluster that belong to a set, without those that a
// controller made: some controllers copy labels.
func (c *Client) members(ctx context.Context, r Recorded) ([]*unstructured.Unstructured, error) {
	var all []*unstructured.Unstructured
	c.mapper.Reset() // definitions may have been deleted
	for _, kind := range r.Kinds {
		mapping, err := c.mapper.RESTMapping(kind)
		if meta.IsNoMatchError(err) {
			continue // its objects were deleted with its definition
		}
		if err != nil {
			return nil, fmt.Errorf("find %s: %w", kind, err)
		}
		list, err := c.dynamic.Resource(mapping.Resource).List(ctx, metav1.ListOptions{LabelSelector: labelPartOf + "=" + id(r.Name)})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", mapping.Resource.GroupResource(), err)
		}
		for i := range list.Items {
			if o := &list.Items[i]; metav1.GetControllerOf(o) == nil {
				all = append(all, o)
			}
		}
	}
	return all, nil
}

// Object is an object of a set as it is in the cluster.
type Object struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	Ready     bool   `json:"ready"`
	// Message is why the object is not ready.
	Message string `json:"message,omitempty"`
}

// Objects returns the objects of a set in the cluster, in the order in which they are
// applied.
func (c *Client) Objects(ctx context.Context, r Recorded) ([]Object, error) {
	members, err := c.members(ctx, r)
	if err != nil {
		return nil, err
	}
	all := []Object{}
	for _, o := range ordered(members) {
		message, ok, err := ready(o)
		if err != nil {
			message = err.Error()
		}
		one := Object{Kind: o.GroupVersionKind().GroupKind().String(), Namespace: o.GetNamespace(), Name: o.GetName(), Ready: ok && err == nil}
		if !one.Ready {
			one.Message = oneLine(message)
		}
		all = append(all, one)
	}
	return all, nil
}

// owners returns the names of the sets by the value of the label on their objects.
func owners(sets map[string]Recorded, set string) []string {
	all := []string{id(set)}
	for name := range sets {
		all = append(all, id(name))
	}
	slices.Sort(all)
	return slices.Compact(all)
}
