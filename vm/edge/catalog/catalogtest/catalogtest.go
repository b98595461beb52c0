// Package catalogtest makes snapshots for tests of what uses them.
package catalogtest

import (
	"context"
	"log/slog"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	gateways "sigs.k8s.io/gateway-api/pkg/client/clientset/versioned/fake"

	"github.com/skiff-dev/skiff/vm/edge/catalog"
)

// limit bounds how long a catalog of a fake API takes to list it.
const limit = 20 * time.Second

// Snapshot returns the snapshot of an API that has these objects.
func Snapshot(objects ...runtime.Object) *catalog.Snapshot {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	c := catalog.New(fake.NewClientset(objects...), gateways.NewSimpleClientset(), slog.New(slog.DiscardHandler))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = c.Run(ctx) // it ends with ctx
	}()
	for {
		s, changed := c.Watch()
		if s.Synced || ctx.Err() != nil {
			cancel()
			<-done
			return s
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}
