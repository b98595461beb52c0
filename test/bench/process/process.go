// Package process reads the CPU time and memory of a running process, for all
// benchmarks.
package process

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of CPU time in /proc/PID/stat: 1/USER_HZ, which is 1/100 s on
// all current architectures of Linux (proc(5)).
const tick = time.Second / 100

// CPU returns the CPU time that a process has used, in user and system mode.
func CPU(pid int) (time.Duration, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("read CPU time: %w", err)
	}
	return parseCPU(data)
}

// parseCPU reads fields 14 and 15 of /proc/PID/stat. The second field, the
// program's name in parentheses, may contain any characters.
func parseCPU(stat []byte) (time.Duration, error) {
	_, rest, found := bytes.Cut(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" "))
	fields := strings.Fields(string(rest))
	if !found || len(fields) < 13 {
		return 0, fmt.Errorf("no CPU time in %q", stat)
	}
	sum := time.Duration(0)
	for _, field := range fields[11:13] {
		ticks, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read CPU time: %w", err)
		}
		sum += time.Duration(ticks) * tick
	}
	return sum, nil
}

// Usage is the memory of a process in MiB: resident memory, its anonymous part,
// and the proportional set size, which divides shared pages among processes.
type Usage struct{ RSS, Anonymous, PSS float64 }

// Memory returns the memory of a process.
func Memory(pid int) (Usage, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return Usage{}, fmt.Errorf("read memory: %w", err)
	}
	return parseMemory(data)
}

// parseMemory parses smaps_rollup (proc_pid_smaps(5)).
func parseMemory(rollup []byte) (Usage, error) {
	var u Usage
	wanted := map[string]*float64{"Rss:": &u.RSS, "Pss:": &u.PSS, "Anonymous:": &u.Anonymous}
	for line := range strings.Lines(string(rollup)) {
		fields := strings.Fields(line)
		if len(fields) != 3 || wanted[fields[0]] == nil {
			continue
		}
		kib, err := strconv.ParseFloat(fields[1], 64)
		if err != nil {
			return Usage{}, fmt.Errorf("read memory: %w", err)
		}
		*wanted[fields[0]] = kib / 1024
		delete(wanted, fields[0])
	}
	if len(wanted) > 0 {
		return Usage{}, fmt.Errorf("no Rss, Pss or Anonymous in %q", rollup)
	}
	return u, nil
}

// Add adds the memory of another process.
func (u *Usage) Add(other Usage) {
	u.RSS, u.Anonymous, u.PSS = u.RSS+other.RSS, u.Anonymous+other.Anonymous, u.PSS+other.PSS
}

// Totals are the CPU time and memory of several processes.
type Totals struct {
	CPU    time.Duration
	Memory Usage
}

// Sum returns the totals of the processes, which must be running.
func Sum(pids []int) (Totals, error) {
	var sum Totals
	for _, pid := range pids {
		used, err := CPU(pid)
		if err != nil {
			return sum, err
		}
		memory, err := Memory(pid)
		if err != nil {
			return sum, err
		}
		sum.CPU += used
		sum.Memory.Add(memory)
	}
	return sum, nil
}

// Child returns the process that another one started with an argument.
func Child(parent int, argument string) (int, error) {
	all, err := os.ReadDir("/proc")
	if err != nil {
		return 0, err
	}
	for _, entry := range all {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue // not a process
		}
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue // it has ended
		}
		arguments, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		// Field 4 of /proc/PID/stat is the parent.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if err == nil && len(fields) > 1 && fields[1] == strconv.Itoa(parent) && slices.Contains(strings.Split(string(arguments), "\x00"), argument) {
			return pid, nil
		}
	}
	return 0, fmt.Errorf("process %d has no child with the argument %q", parent, argument)
}
