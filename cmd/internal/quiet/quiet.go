// Package quiet keeps a guest program that has started from costing more than it
// must: its timers wake the processor together, and what only its start has used
// goes back to the machine.
package quiet

import (
	"context"
	"log/slog"
	"time"
)

// timerSlack is how much later a timer may end once the start is over. The
// shortest one that others wait for is etcd's heartbeat of 100 ms.
const timerSlack = 20 * time.Millisecond

// Keep waits until the program has started and then keeps it quiet until ctx
// ends.
func Keep(ctx context.Context, log *slog.Logger) {
	if awaitStart(ctx) != nil {
		return
	}
	if err := coalesce(timerSlack); err != nil {
		log.Info("timers wake the processor one by one", "because", err)
	}
	keepSmall(ctx, log, unmapProgram)
}
