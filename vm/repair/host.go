package repair

import (
	"crypto/sha256"
	"time"
)

const (
	// The parts of the work that measures the host's pace, and the bytes of each: about half
	// a millisecond.
	paceParts, paceBytes = 24, 256 << 10
	// busyFactor is how much longer work takes than it would alone when the host counts as
	// busy.
	busyFactor = 4
	// lateFactor is how many times its period the time between two checks may take. Periods
	// count as at least shortestPeriod for that.
	lateFactor     = 3
	shortestPeriod = 10 * time.Second
)

// Busy reports whether this host is too busy to give its machines time. It measures how
// long work takes in total, compared with the fastest of its parts, which are too short to
// be interrupted often.
func Busy() bool {
	block := make([]byte, paceBytes)
	var times [paceParts]time.Duration
	for i := range times {
		begun := time.Now()
		_ = sha256.Sum256(block)
		times[i] = time.Since(begun)
	}
	return busy(times[:])
}

// busy decides by the times that equal parts of work took.
func busy(times []time.Duration) bool {
	fastest, total := times[0], time.Duration(0)
	for _, took := range times {
		fastest, total = min(fastest, took), total+took
	}
	return total > busyFactor*fastest*time.Duration(len(times))
}

// Elapsed returns how much of the time between two checks counts, and whether the host
// slept or stalled meanwhile. wall and monotonic are that time by either clock, and period
// is the intended time.
func Elapsed(wall, monotonic, period time.Duration) (counted time.Duration, stalled bool) {
	most := lateFactor * max(period, shortestPeriod)
	if (wall-monotonic).Abs() > shortestPeriod || wall > most || monotonic > most {
		return 0, true
	}
	return max(min(monotonic, 2*period), 0), false
}
