package idle

import (
	"context"
	"log/slog"
	"math"
	"runtime/debug"
	"runtime/metrics"
	"syscall"
	"time"

	"github.com/skiff-dev/skiff/internal/pause"
)

const mebibyte = 1 << 20

const (
	// startPoll is how often a starting program is checked, and startLimit how long
	// a start may last.
	startPoll  = 2 * time.Second
	startLimit = 2 * time.Minute
	// trimPoll is how often a started program is checked.
	trimPoll = 30 * time.Second
	// A program that has started uses less than startedPercent of one core, an idle
	// one less than idlePercent.
	startedPercent, idlePercent = 25, 10
	// trimAbove is how many bytes a trim must free to be worth its collection.
	trimAbove = 8 * mebibyte
	// firstUnmap and lastUnmap bound the time between two releases of the program's
	// pages, which doubles each time. The first follow soon, because parts of a
	// program begin only after its start. Each costs 10 to 30 ms: the kernel maps
	// the pages in use again, 64 KiB with each fault.
	firstUnmap, lastUnmap = 30 * time.Second, 10 * time.Minute
)

// awaitStart returns when the program has started, that is, when it is no longer
// busy. It returns an error only when ctx ends.
func awaitStart(ctx context.Context) error {
	began, before := time.Now(), read()
	for started := false; !started; {
		if err := pause.For(ctx, startPoll); err != nil {
			return err
		}
		now := read()
		started = idle(before, now, startPoll, startedPercent) || time.Since(began) > startLimit
		before = now
	}
	return nil
}

// keepSmall frees the memory that the program's start has left, and from then on
// whatever an idle program no longer needs: heap, and pages of its own file, which
// unmap releases. It returns when ctx ends.
func keepSmall(ctx context.Context, log *slog.Logger, unmap func() error) {
	release := func() {
		if err := unmap(); err != nil {
			log.Info("cannot release the program's pages", "error", err)
		}
	}
	release()
	left, before := trim(), read()
	wait, last := firstUnmap, time.Now()
	for pause.For(ctx, trimPoll) == nil {
		now := read()
		if time.Since(last) >= wait && idle(before, now, trimPoll, idlePercent) {
			release()
			wait, last = min(2*wait, lastUnmap), time.Now()
		}
		if worthTrimming(before, now, trimPoll, left) {
			left = trim()
		}
		before = read()
	}
}

// trim frees what it can and returns the remaining size of the heap. That is more
// than the live objects: the collector does not move them, so the gaps between
// them remain, and another collection would not free those.
func trim() (bytes int64) {
	debug.FreeOSMemory()
	return read().heap
}

// usage is the program's CPU time so far, and the memory that its heap occupies.
type usage struct {
	cpu  time.Duration
	heap int64 // bytes
}

func idle(before, now usage, passed time.Duration, percent int) bool {
	return (now.cpu-before.cpu)*100 < passed*time.Duration(percent)
}

// worthTrimming reports whether a program that went from before to now in passed
// is idle and can free much, when the last trim left so many bytes.
func worthTrimming(before, now usage, passed time.Duration, left int64) bool {
	return idle(before, now, passed, idlePercent) && now.heap-left > trimAbove
}

func read() usage {
	samples := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
	}
	metrics.Read(samples)
	u := usage{cpu: cpuTime()}
	for _, s := range samples {
		u.heap += int64(min(s.Value.Uint64(), math.MaxInt64))
	}
	return u
}

// cpuTime returns the CPU time that the program has used.
func cpuTime() time.Duration {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
