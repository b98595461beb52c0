package main

import (
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
	"github.com/skiff-dev/skiff/test/bench/process"
)

// hostProcess is a process of the cluster on the host.
type hostProcess struct {
	name string
	pid  int
}

// machines measures the memory and idle CPU time of all processes.
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
	list, err := machineProcesses(b.skiff.Dir)
	if err != nil {
		return nil, err
	}
	list = append(list, hostProcess{name: "daemon", pid: status.DaemonPID})
	before, start := make([]time.Duration, len(list)), time.Now()
	for i, p := range list {
		if before[i], err = process.CPU(p.pid); err != nil {
			return nil, err
		}
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(b.idle):
	}
	passed := time.Since(start)
	var figures []figure.Figure
	for i, p := range list {
		after, err := process.CPU(p.pid)
		if err != nil {
			return nil, err
		}
		memory, err := process.Memory(p.pid)
		if err != nil {
			return nil, err
		}
		figures = append(figures,
			figure.New(p.name+" memory (PSS)", "MiB", memory.PSS, 0),
			figure.New(p.name+" idle CPU, of one core", "%", 100*(after-before[i]).Seconds()/passed.Seconds(), 0))
	}
	return figures, nil
}

// machineProcesses finds the QEMU processes of the machines in home.
func machineProcesses(home string) ([]hostProcess, error) {
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil, err
	}
	var found []hostProcess
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue // the process has exited
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
				found = append(found, hostProcess{name: filepath.Base(filepath.Dir(arguments[i+1])), pid: pid})
			}
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no machine in %s is running", home)
	}
	sort.Slice(found, func(i, j int) bool { return found[i].name < found[j].name })
	return found, nil
}

// sizes measures the files of the image and the programs.
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
			figures = append(figures, figure.New("size of "+entry.Name()+" in the image, uncompressed", "MB", float64(info.Size())/1e6, 0))
		}
		return err
	})
	return figures, err
}
