package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/skiff-dev/skiff/test/bench/figure"
)

// ticks is the unit of processor time in /proc/PID/stat: USER_HZ, 100 on every
// architecture that Linux has now (proc(5)).
const ticks = 100

// process is one of the cluster's processes on the host.
type process struct {
	name string
	pid  int
}

// machines measures memory and idle processor time of all processes.
func (b *bench) machines(ctx context.Context) ([]figure.Figure, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(b.settle):
	}
	status, err := b.status(ctx)
	if err != nil {
		return nil, err
	}
	list, err := machineProcesses(b.home)
	if err != nil {
		return nil, err
	}
	list = append(list, process{name: "daemon", pid: status.DaemonPID})
	before, start := make([]int64, len(list)), time.Now()
	for i, p := range list {
		if before[i], err = processorTicks(p.pid); err != nil {
			return nil, err
		}
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(b.idle):
	}
	passed := time.Since(start).Seconds()
	var figures []figure.Figure
	for i, p := range list {
		after, err := processorTicks(p.pid)
		if err != nil {
			return nil, err
		}
		memory, err := proportionalMiB(p.pid)
		if err != nil {
			return nil, err
		}
		figures = append(figures,
			figure.New(p.name+" memory (PSS)", "MiB", memory, 0),
			figure.New(p.name+" idle CPU of one core", "%", 100*float64(after-before[i])/ticks/passed, 0))
	}
	return figures, nil
}

// machineProcesses finds the machines' processes: QEMUs that name the directory.
func machineProcesses(home string) ([]process, error) {
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil, err
	}
	var found []process
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		arguments := strings.Split(string(data), "\x00")
		if !strings.HasPrefix(filepath.Base(arguments[0]), "qemu-system-") {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			return nil, err
		}
		for i, argument := range arguments[:len(arguments)-1] {
			if argument == "-pidfile" && strings.HasPrefix(arguments[i+1], home) {
				found = append(found, process{name: filepath.Base(filepath.Dir(arguments[i+1])), pid: pid})
			}
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no machine of %s runs", home)
	}
	sort.Slice(found, func(i, j int) bool { return found[i].name < found[j].name })
	return found, nil
}

// processorTicks is the processor time that a process has used, in user and
// system mode.
func processorTicks(pid int) (int64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	return parseTicks(data)
}

// parseTicks reads fields 14 and 15 of /proc/PID/stat. The second field, the
// program's name in parentheses, may hold anything.
func parseTicks(stat []byte) (int64, error) {
	_, rest, found := bytes.Cut(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" "))
	fields := strings.Fields(string(rest))
	if !found || len(fields) < 13 {
		return 0, fmt.Errorf("no processor time in %q", stat)
	}
	sum := int64(0)
	for _, field := range fields[11:13] {
		value, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("processor time: %w", err)
		}
		sum += value
	}
	return sum, nil
}

// proportionalMiB is a process's proportional set size: memory that it shares
// with others is counted in parts.
func proportionalMiB(pid int) (float64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	return parseProportional(data)
}

func parseProportional(rollup []byte) (float64, error) {
	for line := range strings.Lines(string(rollup)) {
		fields := strings.Fields(line)
		if len(fields) == 3 && fields[0] == "Pss:" {
			kib, err := strconv.ParseFloat(fields[1], 64)
			return kib / 1024, err
		}
	}
	return 0, fmt.Errorf("no Pss in %q", rollup)
}

// sizes measures what is built.
func (b *bench) sizes() ([]figure.Figure, error) {
	image := filepath.Join(filepath.Dir(b.program), "image")
	var figures []figure.Figure
	for _, file := range []string{b.program, filepath.Join(image, "kernel"), filepath.Join(image, "initramfs"), filepath.Join(image, "root.erofs")} {
		info, err := os.Stat(file)
		if err != nil {
			return nil, err
		}
		figures = append(figures, figure.New("size of "+filepath.Base(file), "MB", float64(info.Size())/1e6, 0))
	}
	err := filepath.WalkDir(b.guest, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			figures = append(figures, figure.New("size of "+entry.Name()+" in the image, unpacked", "MB", float64(info.Size())/1e6, 0))
		}
		return err
	})
	return figures, err
}
