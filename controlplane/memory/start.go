package memory

import (
	"context"
	"math"
	"runtime/debug"
	"runtime/metrics"
	"syscall"
	"time"
)

// How a program is watched.
const (
	// startPoll is how often a starting program is looked at, and startLimit how
	// long a start may last.
	startPoll  = 2 * time.Second
	startLimit = 2 * time.Minute
	// trimPoll is how often a started program is looked at.
	trimPoll = 30 * time.Second
	// startedPercent and idlePercent of one core are what a program uses at most
	// that has started, and one that is idle.
	startedPercent, idlePercent = 25, 10
	// trimAbove is what a trim must give back to be worth its collection.
	trimAbove = 8 * mebibyte
)

// Keep puts l in force once the program has started, and from then on gives
// memory back to the machine whenever the program is idle and holds much more
// than it needs. It returns when ctx ends.
//
// Until then the collector rests, if Apply has put it to rest: nearly all that
// a starting control plane allocates stays, and collections take a quarter of
// its processor time. The machine's limit holds all the same.
func Keep(ctx context.Context, l Limits) {
	began, before := time.Now(), read()
	for started := false; !started; {
		if pause(ctx, startPoll) != nil {
			return
		}
		now := read()
		started = idle(before, now, startPoll, startedPercent) || time.Since(began) > startLimit
		before = now
	}
	l.collect()
	debug.FreeOSMemory()
	before = read()
	for pause(ctx, trimPoll) == nil {
		now := read()
		if worthTrimming(before, now, trimPoll) {
			debug.FreeOSMemory()
			now = read()
		}
		before = now
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// usage is what a program has used, and its heap.
type usage struct {
	busy time.Duration
	// live is what the last collection found in use; held is what the heap
	// takes of the machine. In bytes.
	live, held int64
}

func idle(before, now usage, passed time.Duration, percent int) bool {
	return (now.busy-before.busy)*100 < passed*time.Duration(percent)
}

// worthTrimming says whether a program that went from before to now in passed
// is idle and can give back much.
func worthTrimming(before, now usage, passed time.Duration) bool {
	return idle(before, now, passed, idlePercent) && now.held-now.live > max(trimAbove, now.live/3)
}

func read() usage {
	samples := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
	}
	metrics.Read(samples)
	held := samples[1].Value.Uint64() + samples[2].Value.Uint64() + samples[3].Value.Uint64()
	u := usage{live: bytes(samples[0].Value.Uint64()), held: bytes(held)}
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) == nil {
		u.busy = time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	return u
}

func bytes(n uint64) int64 { return int64(min(n, math.MaxInt64)) }
