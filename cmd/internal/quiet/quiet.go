// Package quiet keeps a guest program that has started from costing more than it
// must: its timers wake the processor together while it is idle, and what only its
// start has used goes back to the machine.
package quiet

import (
	"context"
	"log/slog"
)

// Keep waits until the program has started and then keeps it quiet until ctx
// ends.
func Keep(ctx context.Context, log *slog.Logger) {
	if awaitStart(ctx) != nil {
		return
	}
	go keepTogether(ctx, log, coalesce, busy)
	keepSmall(ctx, log, unmapProgram)
}
