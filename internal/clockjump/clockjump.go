// Package clockjump reports that the wall clock of this host jumped: the host slept, or its
// clock was set.
package clockjump

import (
	"context"
	"log/slog"
	"time"

	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/internal/wakeup"
)

// tolerance is how far the wall clock and the monotonic clock may disagree. Daemons that
// keep the time correct it in small steps.
const tolerance = 2 * time.Second

// pollPeriod is how often the clocks are compared where the system reports nothing.
const pollPeriod = time.Second

// Watch sends a signal after every jump until ctx ends, within pollPeriod.
func Watch(ctx context.Context, log *slog.Logger) wakeup.Signal {
	jumped := wakeup.New()
	go func() {
		wait := changes(ctx, log)
		for last := time.Now(); wait(ctx) == nil; {
			now := time.Now()
			if disagree(now.Round(0).Sub(last.Round(0)), now.Sub(last)) {
				jumped.Send()
			}
			last = now
		}
	}()
	return jumped
}

// disagree reports whether a time is another one by the wall clock than by the monotonic
// clock, which stands still while the host sleeps.
func disagree(wall, monotonic time.Duration) bool { return (wall - monotonic).Abs() > tolerance }

// poll waits until the clocks should be compared again.
func poll(ctx context.Context) error { return pause.For(ctx, pollPeriod) }
