// Package reconcile keeps what an informer shows settled: every object that
// needs it is taken up by its name, one at a time, and again later for as long
// as it is not settled.
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

// How long an object waits before it is taken up again, doubling each time.
const (
	firstRetry = 200 * time.Millisecond
	lastRetry  = 30 * time.Second
)

// Settings are what to settle and how.
type Settings struct {
	// What is settled, for errors and the log: "certificate request".
	What string
	// Informer shows the objects, which are not in namespaces. Run runs it.
	Informer cache.SharedIndexInformer
	// Needs says whether an object that the informer shows is to be taken up.
	Needs func(object metav1.Object) bool
	// Settle does what is to be done about the object of that name; false or an
	// error has it called again.
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
		return fmt.Errorf("watch every %s: %w", s.What, err)
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
			s.Log.Warn("not settled, it is tried again", "what", s.What, "name", name, "error", err)
		}
		if settled && err == nil {
			queue.Forget(name)
		} else {
			queue.AddRateLimited(name)
		}
		queue.Done(name)
	}
}
