package pause_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skiff-dev/skiff/internal/pause"
)

func TestForEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if err := pause.For(t.Context(), time.Hour); err != nil || time.Since(began) != time.Hour {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began = time.Now()
		if err := pause.For(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Minute {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}

func TestBetweenLeavesMostOfTheTimeFree(t *testing.T) {
	const least, most = 50 * time.Millisecond, 250 * time.Millisecond
	for took, want := range map[time.Duration]time.Duration{
		0:                     least,
		5 * time.Millisecond:  least,
		10 * time.Millisecond: 90 * time.Millisecond,
		time.Second:           most,
	} {
		if got := pause.Between(took, least, most); got != want {
			t.Errorf("after an attempt of %s: %s, want %s", took, got, want)
		}
	}
}
