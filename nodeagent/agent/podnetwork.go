package agent

import (
	"context"
	"sync"
)

// podNetwork tells the kubelet what the pod network found when it reconciled first.
type podNetwork struct {
	once       sync.Once
	known      chan struct{} // closed when configured is final
	configured bool
}

func newPodNetwork() *podNetwork { return &podNetwork{known: make(chan struct{})} }

// reconciled records whether the container runtime has a configuration. Only the first call
// counts.
func (n *podNetwork) reconciled(configured bool) {
	n.once.Do(func() {
		n.configured = configured
		close(n.known)
	})
}

// await waits for the first call of reconciled and returns its argument, or false if ctx ends
// before that.
func (n *podNetwork) await(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-n.known:
		return n.configured
	}
}
