package idle

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestOnlyAnIdleProgramIsTrimmed(t *testing.T) {
	at := func(busy time.Duration, heldMiB int64) usage {
		return usage{cpu: busy, heap: heldMiB * mebibyte}
	}
	for _, tt := range []struct {
		name        string
		before, now usage
		leftMiB     int64
		want        bool
	}{
		{"idle, holds twice what the last trim left", at(time.Second, 60), at(2*time.Second, 100), 50, true},
		{"busy", at(time.Second, 60), at(20*time.Second, 100), 50, false},
		{"idle, holds a little more", at(time.Second, 60), at(2*time.Second, 57), 50, false},
		{"idle, holds what no trim gives back", at(time.Second, 100), at(2*time.Second, 100), 100, false},
		{"idle and small", at(time.Second, 6), at(2*time.Second, 12), 6, false},
	} {
		if got := worthTrimming(tt.before, tt.now, 30*time.Second, tt.leftMiB*mebibyte); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func TestReadReturnsTheOwnUsage(t *testing.T) {
	if u := read(); u.heap <= 0 || u.cpu <= 0 {
		t.Errorf("%+v", u)
	}
}

func TestPagesAreReleasedLessAndLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 40*time.Minute)
		defer cancel()
		var at []time.Duration
		began := time.Now()
		keepSmall(ctx, slog.New(slog.DiscardHandler), func() error {
			at = append(at, time.Since(began))
			return errors.New("once more, whatever becomes of it")
		})
		want := []time.Duration{
			0, 30 * time.Second, 90 * time.Second, 210 * time.Second, 450 * time.Second, 930 * time.Second, 1530 * time.Second, 2130 * time.Second,
		}
		if !slices.Equal(at, want) {
			t.Errorf("after %v, not %v", at, want)
		}
	})
}
