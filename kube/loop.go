package kube

import (
	"context"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
)

// onChange calls do when the watched objects have been listed, when one of them
// changes, and when the server stops responding, until ctx ends.
func (c *Client) onChange(ctx context.Context, do func(context.Context), watched ...feed.Objects) {
	changes := feed.NewMailbox()
	for _, need := range watched {
		go c.objects(ctx, need, changes.Put)
	}
	for {
		if _, ok := changes.Take(ctx); !ok {
			return
		}
		limited, cancel := context.WithTimeout(ctx, requestLimit)
		do(limited)
		cancel()
	}
}

// single selects one object, for onChange.
func single(ref object.Ref) feed.Objects {
	watched := feed.Objects{Cluster: ref.Cluster, Resource: ref.Resource, Fields: "metadata.name=" + ref.Name}
	if ref.Resource.Namespaced {
		watched.Namespaces = []string{ref.Namespace}
	}
	return watched
}

// callWithContext bounds the wait for a call that takes no context. The call
// itself continues in the background when ctx ends.
func callWithContext[T any](ctx context.Context, call func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := call()
		done <- result{value, err}
	}()
	select {
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	case r := <-done:
		return r.value, r.err
	}
}
