package agent

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// How the agent's own start is watched: it is over when less than startedPercent
// of a core is used in a period, or after startLimit.
const (
	startPoll      = 5 * time.Second
	startLimit     = 2 * time.Minute
	startedPercent = 10
	// giveBackPeriod is how often memory is given back from then on: now and then
	// something reads far through the program, such as a list of metrics.
	giveBackPeriod = 10 * time.Minute
)

// giveBack returns to the machine what only the start has used, and later what
// has gathered: half of the program is read once.
func giveBack(ctx context.Context) error {
	began, before := time.Now(), busy()
	for wait := startPoll; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		now := busy()
		if (now-before)*100 < wait*startedPercent || time.Since(began) > startLimit {
			debug.FreeOSMemory()
			if err := releaseProgram(); err != nil {
				slog.Debug("the program's own pages stay resident", "error", err)
			}
			wait = giveBackPeriod
		}
		before = busy()
	}
}

// busy is the processor time that this process has used.
func busy() time.Duration {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// releaseProgram lets go of the pages of this program's file. They stay in the
// page cache, where the kernel may drop them; what is used again is mapped again
// (MADV_DONTNEED on a mapping of a file, madvise(2)).
func releaseProgram() error {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return err
	}
	var errs []error
	for _, area := range programAreas(string(maps), program) {
		if _, _, failed := unix.Syscall(unix.SYS_MADVISE, area.start, area.size, unix.MADV_DONTNEED); failed != 0 {
			errs = append(errs, failed)
		}
	}
	return errors.Join(errs...)
}

// area is a part of this process's memory.
type area struct{ start, size uintptr }

// programAreas are those in /proc/self/maps (proc_pid_maps(5)) that hold the
// program's file and nothing that was written since.
func programAreas(maps, program string) []area {
	var areas []area
	for line := range strings.Lines(maps) {
		fields := strings.Fields(line)
		if len(fields) != 6 || fields[5] != program || len(fields[1]) != 4 || fields[1][1] == 'w' {
			continue
		}
		from, to, _ := strings.Cut(fields[0], "-")
		start, err := strconv.ParseUint(from, 16, 64)
		if err != nil {
			continue
		}
		end, err := strconv.ParseUint(to, 16, 64)
		if err != nil || end <= start {
			continue
		}
		areas = append(areas, area{uintptr(start), uintptr(end - start)})
	}
	return areas
}
