package clockjump

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// changes returns a function that waits until the clock may have been set, or until ctx
// ends. It costs nothing meanwhile: the kernel cancels timers of the wall clock when that
// is set and when the host wakes (TFD_TIMER_CANCEL_ON_SET, timerfd_create(2)).
func changes(ctx context.Context, log *slog.Logger) func(context.Context) error {
	timer, err := newTimer()
	if err != nil {
		log.Warn("the kernel does not report changes of the clock; comparing it regularly", "error", err)
		return poll
	}
	context.AfterFunc(ctx, func() { _ = timer.Close() })
	return func(ctx context.Context) error {
		_, err := timer.Read(make([]byte, 8))
		if errors.Is(err, unix.ECANCELED) {
			return nil
		}
		return errors.Join(ctx.Err(), err)
	}
}

// newTimer returns a timer of the wall clock that ends only by being cancelled.
func newTimer() (*os.File, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_REALTIME, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("timerfd_create", err)
	}
	never := unix.ItimerSpec{Value: unix.Timespec{Sec: math.MaxInt32}} // 2038; ending then costs one comparison
	if err := unix.TimerfdSettime(fd, unix.TFD_TIMER_ABSTIME|unix.TFD_TIMER_CANCEL_ON_SET, &never, nil); err != nil {
		_ = unix.Close(fd)
		return nil, os.NewSyscallError("timerfd_settime", err)
	}
	return os.NewFile(uintptr(fd), "timerfd"), nil
}
