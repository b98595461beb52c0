// Command up measures the cost of a cluster on its host: the time from `skiff
// up` to three Ready nodes with its phases, the memory and idle CPU time of each
// machine, and the sizes of the image and programs. It uses a separate SKIFF_HOME
// and kubeconfig, and deletes the cluster at the end.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"time"

	"github.com/skiff-dev/skiff/test/bench/figure"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// Goals of the project, for two cores with emulated machines.
const (
	goalUpSeconds      = 60
	goalUpAgainSeconds = 2
)

// name is the name of the measured cluster.
const name = "bench"

func main() {
	out := flag.String("out", "build/bench/up.json", "output file for the figures")
	program := flag.String("skiff", "bin/skiff", "the skiff program, with the image in the same directory")
	guest := flag.String("guest", "build/guest", "directory with the guest programs")
	idle := flag.Duration("idle", time.Minute, "how long to measure idle machines")
	settle := flag.Duration("settle", 30*time.Second, "how long to wait before measuring idle machines")
	flag.Parse()
	b := &bench{program: *program, guest: *guest, idle: *idle, settle: *settle}
	figure.Main("up", *out, b.run)
}

type bench struct {
	program, guest string
	idle, settle   time.Duration
	home           string
	env            []string
}

func (b *bench) run(ctx context.Context) (figures []figure.Figure, err error) {
	program, err := filepath.Abs(b.program)
	if err != nil {
		return nil, err
	}
	b.program = program
	// The path must be short, because it is part of socket paths.
	if b.home, err = os.MkdirTemp("", "skiff-bench-"); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.home)) }()
	b.env = append(os.Environ(), "SKIFF_HOME="+filepath.Join(b.home, "h"), "KUBECONFIG="+filepath.Join(b.home, "kubeconfig"))

	defer func() {
		// An interrupted run must also delete its cluster.
		_, downErr := b.skiff(context.WithoutCancel(ctx), "down", name)
		_, stopErr := b.skiff(context.WithoutCancel(ctx), "registry", "stop")
		err = errors.Join(err, downErr, stopErr)
	}()
	if figures, err = b.measureUp(ctx); err != nil {
		return nil, err
	}
	sizes, err := b.sizes()
	if err != nil {
		return nil, err
	}
	machines, err := b.machines(ctx)
	if err != nil {
		return nil, err
	}
	return append(append(figures, machines...), sizes...), nil
}

// measureUp measures `skiff up` for a new and for a running cluster.
func (b *bench) measureUp(ctx context.Context) ([]figure.Figure, error) {
	took, err := b.skiff(ctx, "up", name)
	if err != nil {
		return nil, err
	}
	status, err := b.status(ctx)
	if err != nil {
		return nil, err
	}
	figures := []figure.Figure{figure.New("three nodes Ready", "s", took.Seconds(), goalUpSeconds)}
	phases := make([]string, 0, len(status.Timings))
	for phase := range status.Timings {
		phases = append(phases, phase)
	}
	sort.Slice(phases, func(i, j int) bool { return status.Timings[phases[i]] < status.Timings[phases[j]] })
	for _, phase := range phases {
		figures = append(figures, figure.New("phase "+phase, "s", status.Timings[phase], 0))
	}
	again, err := b.skiff(ctx, "up", name)
	if err != nil {
		return nil, err
	}
	return append(figures, figure.New("up of a running cluster", "s", again.Seconds(), goalUpAgainSeconds)), nil
}

func (b *bench) skiff(ctx context.Context, args ...string) (time.Duration, error) {
	command := exec.CommandContext(ctx, b.program, args...)
	command.Env, command.Stdout, command.Stderr = b.env, os.Stderr, os.Stderr
	start := time.Now()
	if err := command.Run(); err != nil {
		return 0, fmt.Errorf("skiff %v: %w", args, err)
	}
	return time.Since(start), nil
}

func (b *bench) status(ctx context.Context) (daemonapi.ClusterStatus, error) {
	command := exec.CommandContext(ctx, b.program, "status", name, "-o", "json")
	command.Env, command.Stderr = b.env, os.Stderr
	var status daemonapi.ClusterStatus
	data, err := command.Output()
	if err == nil {
		err = json.Unmarshal(data, &status)
	}
	if err != nil {
		return status, fmt.Errorf("skiff status: %w", err)
	}
	return status, nil
}
