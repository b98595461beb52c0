package provisioner

import (
	"context"
	"time"

	"k8s.io/client-go/util/workqueue"
)

const firstRetry, lastRetry = time.Second, 5 * time.Minute

// queue holds the keys of objects to handle.
type queue[T comparable] struct {
	workqueue.TypedRateLimitingInterface[T]
}

func newQueue[T comparable]() queue[T] {
	return queue[T]{workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[T](firstRetry, lastRetry))}
}

// run handles the keys one after another until ctx ends. A key whose handling fails is
// reported and handled again later.
func (q queue[T]) run(ctx context.Context, handle func(context.Context, T) error, failed func(T, error)) {
	defer context.AfterFunc(ctx, q.ShutDown)()
	for {
		key, over := q.Get()
		if over {
			return
		}
		if err := handle(ctx, key); err != nil && ctx.Err() == nil {
			failed(key, err)
			q.AddRateLimited(key)
		} else {
			q.Forget(key)
		}
		q.Done(key)
	}
}
