package clockjump

import (
	"context"
	"log/slog"
	"testing"
	"time"
)

func TestAJumpIsMoreThanASmallCorrection(t *testing.T) {
	for _, test := range []struct {
		wall, monotonic time.Duration
		want            bool
	}{
		{5 * time.Second, 5 * time.Second, false},
		{6 * time.Second, 5 * time.Second, false},
		{10 * time.Hour, 5 * time.Second, true},
		{-time.Hour, 5 * time.Second, true},
	} {
		if got := disagree(test.wall, test.monotonic); got != test.want {
			t.Errorf("disagree(%s, %s) = %t", test.wall, test.monotonic, got)
		}
	}
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for name, wait := range map[string]func(context.Context) error{"changes": changes(ctx, slog.New(slog.DiscardHandler)), "poll": poll} {
		time.AfterFunc(10*time.Millisecond, cancel)
		if err := wait(ctx); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
