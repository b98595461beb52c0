package fleet

import (
	"testing"
	"time"
)

func TestAClockHasDriftedIfItIsOutsideOfTheRequest(t *testing.T) {
	sent := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	received := sent.Add(5 * time.Second) // an emulated node on a busy host
	for read, want := range map[time.Time]bool{
		{}:                                   false, // a node of an earlier version
		sent:                                 false,
		sent.Add(2 * time.Second):            false,
		sent.Add(-900 * time.Millisecond):    false,
		received.Add(900 * time.Millisecond): false,
		sent.Add(-2 * time.Second):           true,
		received.Add(2 * time.Second):        true,
		sent.Add(-24 * time.Hour):            true,
	} {
		if got := drifted(read, sent, received); got != want {
			t.Errorf("read %s: %t", read, got)
		}
	}
}

func TestAClockThatHasDriftedIsSet(t *testing.T) {
	f, n := openAt(t, time.Now())
	for ahead, want := range map[time.Duration]int{0: 0, time.Hour: 1} {
		n.mu.Lock()
		n.ahead, n.clocks = ahead, 0
		n.mu.Unlock()
		f.nodes.correctClocks(t.Context())
		n.mu.Lock()
		if n.clocks != want {
			t.Errorf("%s ahead: the clock was set %d times, want %d", ahead, n.clocks, want)
		}
		n.mu.Unlock()
	}
}
