package quiet

import (
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

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
