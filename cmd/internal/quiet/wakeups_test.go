package quiet

import (
	"errors"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestAllThreadsAreCovered(t *testing.T) {
	const slack = 7 * time.Millisecond
	if err := coalesce(slack); errors.Is(err, syscall.ENOTSUP) {
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
