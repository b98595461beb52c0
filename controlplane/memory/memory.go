// Package memory keeps the garbage collector's appetite in proportion to the
// machine: a small VM's control plane collects early, a large one's seldom.
package memory

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
)

const mebibyte = 1 << 20

// Limits are the Go runtime's.
type Limits struct {
	// Percent is GOGC: how much the heap may grow between collections.
	Percent int
	// Bytes is the soft limit beyond which the collector works harder.
	Bytes int64
}

// For is what suits a machine with total bytes of memory, which a control
// plane shares with its node agent and its pods.
func For(total int64) Limits {
	l := Limits{Percent: 100}
	switch {
	case total < 1536*mebibyte:
		l.Percent = 40
	case total < 3*1024*mebibyte:
		l.Percent = 60
	case total < 6*1024*mebibyte:
		l.Percent = 80
	}
	// A limit below what the live heap needs would only burn the processor.
	l.Bytes = max(total*2/5, 256*mebibyte)
	return l
}

// Apply makes the runtime follow the size of this machine, and puts the
// collector to rest until Collect: what a control plane allocates first stays,
// and collections would take a third of its start's processor time. The
// machine's limit holds all the same. Whoever has set GOGC or GOMEMLIMIT knows
// better and is obeyed.
func Apply() (Limits, error) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return Limits{}, fmt.Errorf("learn the machine's memory: %w", err)
	}
	defer f.Close()
	total, err := Total(f)
	if err != nil {
		return Limits{}, err
	}
	l := For(total)
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(l.Bytes)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(-1)
	}
	return l, nil
}

// Collect lets the collector run as l has it. What has become garbage by then is
// the room for what the rest of a start needs: to wait longer would leave holes
// in the heap for good, since the collector moves nothing.
func (l Limits) Collect() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(l.Percent)
	}
}

// Total is MemTotal of a /proc/meminfo (proc_meminfo(5)), in bytes.
func Total(meminfo io.Reader) (int64, error) {
	lines := bufio.NewScanner(meminfo)
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), "MemTotal:")
		if !ok {
			continue
		}
		kibibytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		if err != nil || kibibytes <= 0 || kibibytes > 1<<50 {
			return 0, fmt.Errorf("learn the machine's memory: MemTotal is %q", strings.TrimSpace(rest))
		}
		return kibibytes << 10, nil
	}
	if err := lines.Err(); err != nil {
		return 0, fmt.Errorf("learn the machine's memory: %w", err)
	}
	return 0, fmt.Errorf("learn the machine's memory: no MemTotal in /proc/meminfo")
}
