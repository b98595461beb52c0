// Package reconcile runs controllers that settle one object at a time: it takes
// each object that an informer shows and that needs work by its name, and tries
// again until the object is settled.
package reconcile

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

// The delay before an object is tried again doubles each time between these.
const (
	firstRetry = 200 * time.Millisecond
	lastRetry  = 30 * time.Second
)

// Settings configure a controller.
type Settings struct {
	// Kind is the kind of object, for errors and the log: "certificate request".
	Kind string
	// Informer shows the objects, which are not namespaced. Run runs it.
	Informer cache.SharedIndexInformer
	// Needs reports whether an object that the informer shows needs work.
	Needs func(object metav1.Object) bool
	// Settle does the work on the object with the given name. If it returns false or
	// an error, it is called again later.
	Settle func(ctx context.Context, name string) (settled bool, err error)
	Log    *slog.Logger
}

// Run settles objects until ctx ends.
func Run(ctx context.Context, s Settings) error {
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[string](firstRetry, lastRetry))
	defer queue.ShutDown()
	enqueue := func(object any) {
		if o, ok := object.(metav1.Object); ok && s.Needs(o) {
			queue.Add(o.GetName())
		}
	}
	if _, err := s.Informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: enqueue, UpdateFunc: func(_, object any) { enqueue(object) },
	}); err != nil {
		return fmt.Errorf("watch every %s: %w", s.Kind, err)
	}
	var informing sync.WaitGroup
	informing.Go(func() { s.Informer.RunWithContext(ctx) })
	defer informing.Wait()
	stop := context.AfterFunc(ctx, queue.ShutDown)
	defer stop()
	for {
		name, over := queue.Get()
		if over {
			return nil
		}
		settled, err := s.Settle(ctx, name)
		if err != nil && ctx.Err() == nil {
			s.Log.Warn("cannot settle an object, trying again later", "kind", s.Kind, "name", name, "error", err)
		}
		if settled && err == nil {
			queue.Forget(name)
		} else {
			queue.AddRateLimited(name)
		}
		queue.Done(name)
	}
}
