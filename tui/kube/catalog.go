package kube

import (
	"context"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"

	"github.com/skiff-dev/skiff/tui/feed"
	"github.com/skiff-dev/skiff/tui/object"
)

// definitions is the resource whose changes change what the server serves.
var definitions = object.Resource{
	Group: "apiextensions.k8s.io", Version: "v1", Name: "customresourcedefinitions",
	Singular: "customresourcedefinition", Kind: "CustomResourceDefinition",
}

// catalog tells what the server serves, again whenever a definition changes.
func (c *Client) catalog(ctx context.Context, emit func(any)) {
	changes := feed.NewMailbox()
	go newTableWatch(c, feed.Objects{Cluster: c.name, Resource: definitions}).run(ctx, changes.Put)
	for ctx.Err() == nil {
		all, err := c.discover(ctx)
		if err == nil || len(all) > 0 {
			err = nil
		}
		emit(feed.Resources{Cluster: c.name, All: all, Freshness: freshness(err, time.Now())})
		if err != nil {
			pause(ctx, time.Second)
			continue
		}
		if _, ok := changes.Take(ctx); !ok {
			return
		}
		// A definition is served a moment after it is established.
		pause(ctx, time.Second)
	}
}

// discover asks the server for its resources. Resources of an API that does not
// answer are missing.
func (c *Client) discover(ctx context.Context) ([]object.Resource, error) {
	client := discovery.NewDiscoveryClient(c.raw)
	type answer struct {
		lists []*metav1.APIResourceList
		err   error
	}
	answered := make(chan answer, 1)
	go func() {
		lists, err := client.ServerPreferredResources()
		answered <- answer{lists, err}
	}()
	var a answer
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case a = <-answered:
	}
	var all []object.Resource
	for _, list := range a.lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			continue
		}
		for _, r := range list.APIResources {
			if strings.Contains(r.Name, "/") || !slices.Contains(r.Verbs, "list") {
				continue
			}
			all = append(all, resourceOf(gv, r))
		}
	}
	// The core group first, then apps, then by name: the order in which a short
	// name is looked up.
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
	return all, a.err
}

func resourceOf(gv schema.GroupVersion, r metav1.APIResource) object.Resource {
	found := object.Resource{
		Group: gv.Group, Version: gv.Version, Name: line(r.Name), Singular: line(r.SingularName), Kind: line(r.Kind),
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
