package quiet

import (
	"context"
	"log/slog"
	"math"
	"runtime/debug"
	"runtime/metrics"
	"syscall"
	"time"
)

const mebibyte = 1 << 20

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
	// firstUnmap and lastUnmap are how long after a release of the program's pages
	// the next one is due: twice as long each time. The first come soon, because
	// some of a program begins only after its start. Each costs 10 to 30 ms, for the
	// kernel maps what is in use again, 64 KiB with each fault.
	firstUnmap, lastUnmap = 30 * time.Second, 10 * time.Minute
)

// awaitStart returns when the program has started, which is when it is not busy
// any more, or when ctx ends, with its error.
func awaitStart(ctx context.Context) error {
	began, before := time.Now(), read()
	for started := false; !started; {
		if err := pause(ctx, startPoll); err != nil {
			return err
		}
		now := read()
		started = idle(before, now, startPoll, startedPercent) || time.Since(began) > startLimit
		before = now
	}
	return nil
}

// keepSmall gives back what the program's start has left, and from then on what a
// program that is idle holds without need: pages of its file that it has read
// now and then, by unmap, and memory. It returns when ctx ends.
func keepSmall(ctx context.Context, log *slog.Logger, unmap func() error) {
	letGo := func() {
		if err := unmap(); err != nil {
			log.Info("cannot give back the pages of the program", "because", err)
		}
	}
	letGo()
	left, before := trim(), read()
	wait, last := firstUnmap, time.Now()
	for pause(ctx, trimPoll) == nil {
		now := read()
		if time.Since(last) >= wait && idle(before, now, trimPoll, idlePercent) {
			letGo()
			wait, last = min(2*wait, lastUnmap), time.Now()
		}
		if worthTrimming(before, now, trimPoll, left) {
			left = trim()
		}
		before = read()
	}
}

// trim gives back what it can and returns how much the heap still takes, in
// bytes. That is more than what is live: the collector moves nothing, so what
// lies between objects stays until the next ones need it, and to collect again
// for its sake would only cost.
func trim() int64 {
	debug.FreeOSMemory()
	return read().held
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// usage is what a program has used, and how much its heap takes of the machine,
// in bytes.
type usage struct {
	busy time.Duration
	held int64
}

func idle(before, now usage, passed time.Duration, percent int) bool {
	return (now.busy-before.busy)*100 < passed*time.Duration(percent)
}

// worthTrimming says whether a program that went from before to now in passed
// is idle and can give back much, when the last trim left so many bytes.
func worthTrimming(before, now usage, passed time.Duration, left int64) bool {
	return idle(before, now, passed, idlePercent) && now.held-left > trimAbove
}

func read() usage {
	samples := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
	}
	metrics.Read(samples)
	u := usage{busy: busy()}
	for _, s := range samples {
		u.held += bytes(s.Value.Uint64())
	}
	return u
}

// busy is the processor time that the program has used.
func busy() time.Duration {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func bytes(n uint64) int64 { return int64(min(n, math.MaxInt64)) }
