package kube

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"

	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
)

// catalog delivers the resources that the server serves, again whenever a
// definition changes.
func (c *Client) catalog(ctx context.Context, emit func(any)) {
	changes := feed.NewMailbox()
	go newTableWatch(c, feed.Objects{Cluster: c.name, Resource: object.Definitions}).run(ctx, changes.Put)
	for ctx.Err() == nil {
		all, err := c.discover(ctx)
		if err == nil || len(all) > 0 {
			err = nil
		}
		emit(feed.Resources{Cluster: c.name, All: all, Freshness: freshness(err, time.Now())})
		if err != nil {
			_ = pause.For(ctx, time.Second)
			continue
		}
		if _, ok := changes.Take(ctx); !ok {
			return
		}
		// The server needs a moment to serve a new definition.
		_ = pause.For(ctx, time.Second)
	}
}

// discover returns the server's resources. Those of an aggregated API that does
// not respond are missing.
func (c *Client) discover(ctx context.Context) ([]object.Resource, error) {
	client := discovery.NewDiscoveryClient(c.raw)
	lists, err := callWithContext(ctx, client.ServerPreferredResources)
	var all []object.Resource
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			continue
		}
		for _, r := range list.APIResources {
			if strings.Contains(r.Name, "/") || !slices.Contains(r.Verbs, "list") {
				continue
			}
			all = append(all, newResource(gv, r))
		}
	}
	// Short names are looked up in this order: the core group, then apps, then
	// by name.
	slices.SortStableFunc(all, func(a, b object.Resource) int {
		if order := rank(a.Group) - rank(b.Group); order != 0 {
			return order
		}
		return strings.Compare(a.ID(), b.ID())
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(all) > 0 {
		c.resources = all
	}
	return all, err
}

func newResource(gv schema.GroupVersion, r metav1.APIResource) object.Resource {
	found := object.Resource{
		Group: gv.Group, Version: gv.Version, Name: oneLine(r.Name), Singular: oneLine(r.SingularName), Kind: oneLine(r.Kind),
		Short: r.ShortNames, Namespaced: r.Namespaced,
	}
	if r.Group != "" {
		found.Group = r.Group
	}
	if r.Version != "" {
		found.Version = r.Version
	}
	if found.Singular == "" {
		found.Singular = strings.ToLower(found.Kind)
	}
	return found
}

func rank(group string) int {
	switch {
	case group == "":
		return 0
	case group == "apps":
		return 1
	case !strings.Contains(group, "."):
		return 2
	case strings.HasSuffix(group, ".k8s.io") && group != "metrics.k8s.io" && group != "events.k8s.io":
		return 3
	}
	return 4
}

// resource returns the resource with a name, singular name or short name.
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
