package idle

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

func TestSlackAppliesToAllThreads(t *testing.T) {
	const slack = 7 * time.Millisecond
	if err := setSlack(slack); errors.Is(err, syscall.ENOTSUP) {
		t.Skip(err) // with the race detector, which needs cgo
	} else if err != nil {
		t.Fatal(err)
	}
	// Each goroutine holds a thread until all have one, so some are new.
	const threads = 20
	release, seen := make(chan struct{}), make(chan time.Duration)
	for range threads {
		go func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			nanoseconds, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
			if err != nil {
				t.Error(err)
			}
			seen <- time.Duration(nanoseconds)
			<-release
		}()
	}
	for range threads {
		if got := <-seen; got != slack {
			t.Errorf("a thread has %s, not %s", got, slack)
		}
	}
	close(release)
}

func TestTimersCoalesceOnlyWhileTheProgramIsIdle(t *testing.T) {
	type change struct {
		at    time.Duration
		slack time.Duration
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		// Idle for ten seconds, busy for ten, idle except for a moment at 35 s; woken at
		// 50.1 s and again a second later.
		wake := make(chan struct{}, 1)
		time.AfterFunc(50100*time.Millisecond, func() { wake <- struct{}{} })
		time.AfterFunc(51100*time.Millisecond, func() { wake <- struct{}{} })
		busy := func() time.Duration {
			switch at := time.Since(began); {
			case at <= 10*time.Second:
				return at / 100
			case at <= 20*time.Second:
				return at / 2
			case at <= 35*time.Second:
				return 10*time.Second + at/100
			default:
				return 20*time.Second + at/100
			}
		}
		var changes []change
		coalesceTimers(ctx, slog.New(slog.DiscardHandler), wake, func(slack time.Duration) error {
			changes = append(changes, change{time.Since(began), slack})
			return nil
		}, busy)
		want := []change{
			{busyPoll, idleSlack},
			{10*time.Second + busyPoll, busySlack}, {20*time.Second + (calmPolls+1)*busyPoll, idleSlack},
			{35*time.Second + busyPoll, busySlack}, {35*time.Second + (calmPolls+1)*busyPoll, idleSlack},
			{50100 * time.Millisecond, busySlack}, {51100*time.Millisecond + calmPolls*busyPoll, idleSlack},
		}
		if !slices.Equal(changes, want) {
			t.Errorf("%v, not %v", changes, want)
		}
	})
}

func TestAProgramWhoseTimerSlackCannotBeSetKeepsTheDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		coalesceTimers(t.Context(), slog.New(slog.DiscardHandler), nil, func(time.Duration) error { return syscall.ENOTSUP }, func() time.Duration { return 0 })
	})
}

func TestWakeBeforeKeepIsRememberedOnce(t *testing.T) {
	program := New()
	for range 3 {
		program.Wake()
	}
	if got := len(program.wake); got != 1 {
		t.Errorf("%d are remembered", got)
	}
}
