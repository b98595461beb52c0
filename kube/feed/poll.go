package feed

import (
	"context"
	"time"

	"github.com/skiff-dev/skiff/internal/pause"
)

// Poll calls do immediately and then after each interval, until ctx ends. Each
// call gets a context with the given timeout.
func Poll(ctx context.Context, interval, timeout time.Duration, do func(context.Context)) {
	for {
		limited, cancel := context.WithTimeout(ctx, timeout)
		do(limited)
		cancel()
		if pause.For(ctx, interval) != nil {
			return
		}
	}
}
