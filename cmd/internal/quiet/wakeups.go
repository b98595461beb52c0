package quiet

import (
	"context"
	"fmt"
	"log/slog"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// idleSlack is how much later a timer of an idle program may end. The shortest
	// one that others wait for is etcd's heartbeat of 100 ms.
	idleSlack = 20 * time.Millisecond
	// busySlack is the kernel's own. A busy program needs it: the Go scheduler
	// sleeps for microseconds before it takes work over from another processor.
	busySlack = 50 * time.Microsecond
	// busyPoll is how often a program is looked at, busyPercent of one core what it
	// uses at least that is busy, and calmPolls how often it must be found idle.
	busyPoll    = 250 * time.Millisecond
	busyPercent = 10
	calmPolls   = 20
)

// keepTogether has timers end together while the program is idle and nothing comes
// from wake, until ctx ends. busy is the processor time that it has used.
func keepTogether(ctx context.Context, log *slog.Logger, wake <-chan struct{}, coalesce func(slack time.Duration) error, busy func() time.Duration) {
	slack, calm, before := busySlack, calmPolls, busy()
	for {
		select {
		case <-ctx.Done():
			return
		case <-wake:
			calm = 0
		case <-time.After(busyPoll):
			now := busy()
			if calm++; (now-before)*100 >= busyPoll*busyPercent {
				calm = 0
			}
			before = now
		}
		wanted := busySlack
		if calm >= calmPolls {
			wanted = idleSlack
		}
		if wanted == slack {
			continue
		}
		if err := coalesce(wanted); err != nil {
			log.Info("timers wake the processor one by one", "because", err)
			return
		}
		slack = wanted
	}
}

// coalesce lets the kernel delay the end of every sleep of this program by up to
// slack, so that several end at once. Only what waits for time waits longer:
// what waits for a file, a connection or another goroutine goes on as soon as
// ever (PR_SET_TIMERSLACK, prctl(2)). It covers all threads, those to come
// included. A program with cgo gets syscall.ENOTSUP.
func coalesce(slack time.Duration) error {
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_PRCTL, unix.PR_SET_TIMERSLACK, uintptr(slack.Nanoseconds()), 0); errno != 0 {
		return fmt.Errorf("let timers end together: %w", errno)
	}
	return nil
}
