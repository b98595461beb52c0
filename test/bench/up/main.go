// Command up measures the cost of a cluster on its host: the time from `skiff
// up` to three Ready nodes with its phases, the memory and idle CPU time of each
// machine, and the sizes of the image and programs. It uses a separate SKIFF_HOME
// and kubeconfig, and deletes the cluster at the end.
package main

import (
	"context"
	"errors"
	"flag"
	"sort"
	"time"

	"github.com/skiff-dev/skiff/test/bench/cli"
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
	skiff          cli.Skiff
}

func (b *bench) run(ctx context.Context) (figures []figure.Figure, err error) {
	if b.skiff, err = cli.New(b.program); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.skiff.Delete(ctx, name)) }()
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
	took, err := b.skiff.Run(ctx, "up", name)
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
	again, err := b.skiff.Run(ctx, "up", name)
	if err != nil {
		return nil, err
	}
	return append(figures, figure.New("up of a running cluster", "s", again.Seconds(), goalUpAgainSeconds)), nil
}

func (b *bench) status(ctx context.Context) (status daemonapi.ClusterStatus, err error) {
	err = b.skiff.Query(ctx, &status, "status", name)
	return status, err
}
