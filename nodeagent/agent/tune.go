package agent

import (
	"os"
	"runtime/debug"
)

// tune makes the garbage collector spend processor time where there is memory
// and memory where there is processor time. GOGC and GOMEMLIMIT in the
// environment win.
func tune(memoryBytes uint64) {
	percent, limit := collector(memoryBytes)
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(limit)
	}
}

// collector returns the growth in percent after which the heap is collected,
// and the limit in bytes near which it is collected more often. An agent's heap
// is about 40 MB, of which little changes.
func collector(memoryBytes uint64) (percent int, limit int64) {
	limit = int64(max(memoryBytes/6, 96<<20))
	switch {
	case memoryBytes <= 1<<30:
		return 40, limit
	case memoryBytes <= 4<<30:
		return 75, limit
	default:
		return 100, limit
	}
}
