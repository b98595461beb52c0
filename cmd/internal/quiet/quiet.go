// Package quiet keeps a guest program that has started from costing more than it
// must: its timers wake the processor together while it is idle, and what only its
// start has used goes back to the machine.
package quiet

import (
	"context"
	"log/slog"
)

// Quiet is one program's. It is made by New.
type Quiet struct {
	wake chan struct{} // has room for one
}

// New keeps nothing quiet yet.
func New() *Quiet { return &Quiet{wake: make(chan struct{}, 1)} }

// Keep waits until the program has started and then keeps it quiet until ctx
// ends.
func (q *Quiet) Keep(ctx context.Context, log *slog.Logger) {
	if awaitStart(ctx) != nil {
		return
	}
	go keepTogether(ctx, log, q.wake, coalesce, busy)
	keepSmall(ctx, log, unmapProgram)
}

// Wake has timers end on time from now on, until the program has been idle for a
// few seconds: somebody waits for what it is about to do. It takes no time itself.
func (q *Quiet) Wake() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}
