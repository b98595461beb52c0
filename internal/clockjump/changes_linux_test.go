package clockjump

import (
	"log/slog"
	"testing"

	"golang.org/x/sys/unix"
)

// TestASetClockIsReported sets the clock to the time that it has.
func TestASetClockIsReported(t *testing.T) {
	wait := changes(t.Context(), slog.New(slog.DiscardHandler))
	for range 2 {
		var now unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_REALTIME, &now); err != nil {
			t.Fatal(err)
		}
		if err := unix.ClockSettime(unix.CLOCK_REALTIME, &now); err != nil {
			t.Skipf("setting the clock needs CAP_SYS_TIME: %v", err)
		}
		if err := wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
