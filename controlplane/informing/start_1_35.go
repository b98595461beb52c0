//go:build kubernetes_before_1_36

package informing

import (
	"context"

	"k8s.io/client-go/informers"
)

// Start starts the informers that have been asked for. They end with ctx.
func Start(ctx context.Context, factory informers.SharedInformerFactory) {
	factory.Start(ctx.Done())
}
