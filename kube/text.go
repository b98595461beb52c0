package kube

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kubectl/pkg/describe"
	"k8s.io/kubectl/pkg/polymorphichelpers"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
)

// textInterval is how often a description is refreshed. It covers several
// objects, so it cannot be watched.
const textInterval = 3 * time.Second

// text delivers a text about an object, again whenever it changes.
func (c *Client) text(ctx context.Context, need feed.Text, emit func(any)) {
	var last feed.Document
	read := func(ctx context.Context) {
		text, err := c.read(ctx, need)
		next := feed.Document{Text: text, Freshness: freshness(err, time.Now())}
		if err != nil {
			next.Text, next.At = last.Text, last.At
		}
		if next.Text != last.Text || next.State != last.State || next.Problem != last.Problem {
			emit(next)
			last = next
		}
	}
	if need.Kind == feed.Description {
		feed.Poll(ctx, textInterval, requestLimit, read)
		return
	}
	c.onChange(ctx, read, single(need.Ref))
}

func (c *Client) read(ctx context.Context, need feed.Text) (string, error) {
	switch need.Kind {
	case feed.YAML:
		o, err := c.resourceClient(need.Ref).Get(ctx, need.Ref.Name, metav1.GetOptions{})
		if err != nil {
			return "", err
		}
		if need.Reveal {
			o = decodeSecret(o)
		}
		return manifest(o, need.Reveal)
	case feed.History:
		return c.history(need.Ref)
	}
	return c.describe(ctx, need.Ref)
}

func (c *Client) describe(ctx context.Context, ref object.Ref) (string, error) {
	gv := schema.GroupVersion{Group: ref.Resource.Group, Version: ref.Resource.Version}
	describer, ok := describe.DescriberFor(schema.GroupKind{Group: gv.Group, Kind: ref.Resource.Kind}, c.config)
	if !ok {
		scope := meta.RESTScope(meta.RESTScopeRoot)
		if ref.Resource.Namespaced {
			scope = meta.RESTScopeNamespace
		}
		mapping := &meta.RESTMapping{Resource: gv.WithResource(ref.Resource.Name), GroupVersionKind: gv.WithKind(ref.Resource.Kind), Scope: scope}
		if describer, ok = describe.GenericDescriberFor(mapping, c.config); !ok {
			return "", fmt.Errorf("%s cannot be described", ref)
		}
	}
	return callWithContext(ctx, func() (string, error) {
		return describer.Describe(ref.Namespace, ref.Name, describe.DescriberSettings{ShowEvents: true, ChunkSize: 500})
	})
}

// history lists the revisions of a workload.
func (c *Client) history(ref object.Ref) (string, error) {
	viewer, err := polymorphichelpers.HistoryViewerFor(schema.GroupKind{Group: ref.Resource.Group, Kind: ref.Resource.Kind}, c.typed)
	if err != nil {
		return "", err
	}
	return viewer.ViewHistory(ref.Namespace, ref.Name, 0)
}
