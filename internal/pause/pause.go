// Package pause waits for a duration or the end of a context, for code that must
// not link Kubernetes' wait package.
package pause

import (
	"context"
	"time"
)

// For waits for d. It returns early with the context's error if ctx ends first.
func For(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Between returns how long to wait until the next attempt if one takes took: nine times as
// long, so that attempts use at most a tenth of the time, within least and most.
func Between(took, least, most time.Duration) time.Duration {
	return min(most, max(least, 9*took))
}
