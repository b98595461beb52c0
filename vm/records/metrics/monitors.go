package metrics

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"

	"github.com/skiff-dev/skiff/vm/records/metrics/target"
)

// maxSpec bounds the spec of a monitor that is read, in bytes.
const maxSpec = 64 << 10

// followMonitors keeps a copy of the monitors of a kind until ctx ends. The copy is empty
// while the definition of the kind does not exist. backoff is the time between attempts to
// list them.
func followMonitors(ctx context.Context, client dynamic.Interface, kind string, monitors *mirror[target.Monitor], backoff wait.Backoff) {
	resource := schema.GroupVersionResource{Group: target.MonitorGroup, Version: "v1", Resource: strings.ToLower(kind) + "s"}
	from := client.Resource(resource)
	gone := func(err error) {
		if apierrors.IsNotFound(err) {
			_ = monitors.Replace(nil, "") // an empty list cannot fail
		}
	}
	list := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			found, err := from.List(ctx, options)
			gone(err)
			return found, err
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			stream, err := from.Watch(ctx, options)
			gone(err)
			return stream, err
		},
	}
	like := &unstructured.Unstructured{}
	like.SetGroupVersionKind(resource.GroupVersion().WithKind(kind))
	monitors.follow(ctx, cache.ToListWatcherWithWatchListSemantics(list, client), like, backoff)
}

// reducedMonitor returns the fields that are used of a monitor.
func reducedMonitor(object any) (target.Monitor, error) {
	o, ok := object.(*unstructured.Unstructured)
	if !ok {
		return target.Monitor{}, fmt.Errorf("unexpected object of type %T", object)
	}
	spec, err := json.Marshal(o.Object["spec"])
	if err == nil && len(spec) > maxSpec {
		spec = nil // which ParseMonitor cannot read
	}
	return target.ParseMonitor(o.GetKind(), o.GetNamespace(), o.GetName(), spec), err
}
