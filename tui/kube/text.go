package kube

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kubectl/pkg/describe"
	"k8s.io/kubectl/pkg/polymorphichelpers"
	"sigs.k8s.io/yaml"

	"github.com/skiff-dev/skiff/tui/feed"
	"github.com/skiff-dev/skiff/tui/object"
)

// textInterval is how often a description on the screen is read again: it tells
// of several objects, so there is no one thing to watch.
const textInterval = 3 * time.Second

// text reads a text about an object, again while it is on the screen.
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
		every(ctx, textInterval, read)
		return
	}
	c.onChange(ctx, read, just(need.Ref))
}

// just is one object as something to watch.
func just(ref object.Ref) feed.Objects {
	watched := feed.Objects{Cluster: ref.Cluster, Resource: ref.Resource, Fields: "metadata.name=" + ref.Name}
	if ref.Resource.Namespaced {
		watched.Namespaces = []string{ref.Namespace}
	}
	return watched
}

func (c *Client) read(ctx context.Context, need feed.Text) (string, error) {
	switch need.Kind {
	case feed.YAML:
		o, err := c.at(need.Ref).Get(ctx, need.Ref.Name, metav1.GetOptions{})
		if err != nil {
			return "", err
		}
		if need.Reveal {
			o = readable(o)
		}
		return document(o, need.Reveal)
	case feed.History:
		return c.history(need.Ref)
	}
	return c.describe(ctx, need.Ref)
}

// document is an object as YAML without what only machines read. The values of
// a secret are replaced by their sizes unless reveal is set.
func document(o *unstructured.Unstructured, reveal bool) (string, error) {
	o = o.DeepCopy()
	unstructured.RemoveNestedField(o.Object, "metadata", "managedFields")
	if o.GetKind() == "Secret" && o.GroupVersionKind().Group == "" && !reveal {
		mask(o)
	}
	encoded, err := yaml.Marshal(o.Object)
	return string(encoded), err
}

// readable is a secret whose texts are legible: where they may also be written.
// What is no text stays encoded.
func readable(secret *unstructured.Unstructured) *unstructured.Unstructured {
	encoded, _, err := unstructured.NestedStringMap(secret.Object, "data")
	if err != nil || secret.GetKind() != "Secret" {
		return secret
	}
	secret = secret.DeepCopy()
	texts := map[string]string{}
	for key, value := range encoded {
		if content, err := base64.StdEncoding.DecodeString(value); err == nil && utf8.Valid(content) {
			texts[key] = string(content)
			unstructured.RemoveNestedField(secret.Object, "data", key)
		}
	}
	if len(texts) == len(encoded) {
		unstructured.RemoveNestedField(secret.Object, "data")
	}
	if len(texts) > 0 {
		_ = unstructured.SetNestedStringMap(secret.Object, texts, "stringData")
	}
	return secret
}

const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

func mask(o *unstructured.Unstructured) {
	for _, field := range []string{"data", "stringData"} {
		values, ok, _ := unstructured.NestedMap(o.Object, field)
		if !ok {
			continue
		}
		for key, value := range values {
			text, _ := value.(string)
			values[key] = fmt.Sprintf("•••••• (%d bytes)", size(field, text))
		}
		_ = unstructured.SetNestedMap(o.Object, values, field)
	}
	// What was last applied holds them in clear, too.
	if notes := o.GetAnnotations(); notes[lastApplied] != "" {
		notes[lastApplied] = "••••••"
		o.SetAnnotations(notes)
	}
}

func size(field, text string) int {
	if field != "data" {
		return len(text)
	}
	return len(strings.TrimRight(text, "=")) * 3 / 4
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
	return within(ctx, func() (string, error) {
		return describer.Describe(ref.Namespace, ref.Name, describe.DescriberSettings{ShowEvents: true, ChunkSize: 500})
	})
}

// history is the list of revisions of a workload.
func (c *Client) history(ref object.Ref) (string, error) {
	viewer, err := polymorphichelpers.HistoryViewerFor(schema.GroupKind{Group: ref.Resource.Group, Kind: ref.Resource.Kind}, c.typed)
	if err != nil {
		return "", err
	}
	return viewer.ViewHistory(ref.Namespace, ref.Name, 0)
}

// within bounds a call that knows no context: when ctx ends nobody waits for it
// any more.
func within[T any](ctx context.Context, call func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	answered := make(chan answer, 1)
	go func() {
		value, err := call()
		answered <- answer{value, err}
	}()
	select {
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	case a := <-answered:
		return a.value, a.err
	}
}
