package idle

import (
	"context"
	"fmt"
	"log/slog"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// idleSlack is how late a timer of an idle program may fire. The shortest one
	// that anyone waits for is etcd's heartbeat of 100 ms.
	idleSlack = 20 * time.Millisecond
	// busySlack is the kernel's default. A busy program needs it: the Go scheduler
	// sleeps for microseconds before it steals work from another thread.
	busySlack = 50 * time.Microsecond
	// busyPoll is how often the program is checked. One that uses busyPercent of a
	// core is busy, and it is idle again after calmPolls checks below that.
	busyPoll    = 250 * time.Millisecond
	busyPercent = 10
	calmPolls   = 20
)

// coalesceTimers lets timers fire together while the program is idle and wake is
// silent, until ctx ends.
func coalesceTimers(ctx context.Context, log *slog.Logger, wake <-chan struct{}, setSlack func(time.Duration) error, cpuTime func() time.Duration) {
	slack, calm, before := busySlack, calmPolls, cpuTime()
	for {
		select {
		case <-ctx.Done():
			return
		case <-wake:
			calm = 0
		case <-time.After(busyPoll):
			now := cpuTime()
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
		if err := setSlack(wanted); err != nil {
			log.Info("timers wake the CPU one by one", "error", err)
			return
		}
		slack = wanted
	}
}

// setSlack lets the kernel delay the end of every sleep of this program by up to
// slack, so that several end together (PR_SET_TIMERSLACK, prctl(2)). It does not
// delay anything that waits for a file, a connection or another goroutine. It
// applies to all threads, present and future. A program with cgo gets
// syscall.ENOTSUP.
func setSlack(slack time.Duration) error {
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_PRCTL, unix.PR_SET_TIMERSLACK, uintptr(slack.Nanoseconds()), 0); errno != 0 {
		return fmt.Errorf("set the timer slack: %w", errno)
	}
	return nil
}
