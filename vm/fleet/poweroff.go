package fleet

import (
	"context"

	"github.com/skiff-dev/skiff/vm/cluster"
)

// PowerOff lets all guests shut down and waits for it until the limit. Paused
// machines continue for that, so that they write to their disks what they hold.
func (f *Fleet) PowerOff(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, f.limits.PowerOff)
	defer cancel()
	if f.Paused(ctx) {
		f.wake(ctx)
	}
	f.each(ctx, func(n cluster.Node) {
		if err := f.node(n).PowerOff(ctx); err != nil {
			f.log.Warn("a node cannot be shut down", "node", n.Name, "error", err)
			return
		}
		_ = f.machines.driver.Wait(ctx, n.Name)
	})
}
