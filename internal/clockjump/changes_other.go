//go:build !linux

package clockjump

import (
	"context"
	"log/slog"
)

// changes returns a function that waits until the clock may have been set, or until ctx ends.
func changes(context.Context, *slog.Logger) func(context.Context) error { return poll }
