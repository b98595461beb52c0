// Command controlplane compares skiff-controlplane with upstream's etcd,
// kube-apiserver, kube-controller-manager and kube-scheduler of the same release,
// which run as separate programs with default settings. Both are measured as
// local processes on the same machine, alternately.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/skiff-dev/skiff/test/bench/figure"
	"github.com/skiff-dev/skiff/test/bench/plane"
)

// Goals of the project, for two native cores.
const (
	goalReadySeconds = 0.5
	goalAnonymousMiB = 70
	goalResidentMiB  = 170
	goalIdlePercent  = 0.5
)

type bench struct {
	skiff, peers string
	rounds       int
	settle, idle time.Duration
	nodes, pods  int
	atScale      bool          // the control plane simulates the nodes
	limit        time.Duration // of the load test of one control plane
	log          *os.File
}

func main() {
	out := flag.String("out", "build/bench/controlplane.json", "output file for the figures")
	b := &bench{log: os.Stderr}
	flag.StringVar(&b.skiff, "skiff", "skiff-controlplane", "the skiff-controlplane program")
	flag.StringVar(&b.peers, "peers", "", "directory with upstream's programs (empty: measure skiff-controlplane only)")
	flag.IntVar(&b.rounds, "rounds", 7, "number of starts for the median")
	flag.DurationVar(&b.settle, "settle", time.Minute, "how long to wait before a control plane counts as idle")
	flag.DurationVar(&b.idle, "idle", 2*time.Minute, "how long to measure an idle control plane")
	flag.IntVar(&b.nodes, "nodes", 50, "number of simulated nodes for the load test (0: no load test)")
	flag.IntVar(&b.pods, "pods", 1000, "number of pods for the load test")
	flag.BoolVar(&b.atScale, "scale", false, "measure only the load, on nodes that the control plane simulates")
	quick := flag.Bool("quick", false, "one round with short waits, to check that the benchmark works")
	flag.Parse()
	if *quick {
		b.rounds, b.settle, b.idle = 1, 5*time.Second, 10*time.Second
		b.nodes, b.pods = min(b.nodes, 10), min(b.pods, 100)
	}
	if b.limit = loadLimit; b.atScale {
		b.limit = scaleLimit
		figure.Main("scale", *out, b.scale)
		return
	}
	figure.Main("controlplane", *out, b.run)
}

// run measures starts, then idle control planes, then loaded ones. It alternates
// between both control planes.
func (b *bench) run(ctx context.Context) (figures []figure.Figure, err error) {
	dir, err := os.MkdirTemp("", "skiff-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	planes := []*plane.Plane{{Name: "skiff", Commands: func(s plane.Site) []plane.Command { return plane.SkiffCommands(b.skiff, s) }}}
	if b.peers != "" {
		planes = append(planes, &plane.Plane{Name: "upstream", Commands: func(s plane.Site) []plane.Command { return plane.UpstreamCommands(b.peers, s) }})
	}
	starts := make([]startSamples, len(planes))
	for round := range b.rounds {
		for i, p := range planes {
			if err := b.starts(ctx, p, filepath.Join(dir, fmt.Sprintf("%s-%d", p.Name, round)), &starts[i]); err != nil {
				return nil, fmt.Errorf("%s, round %d: %w", p.Name, round+1, err)
			}
		}
	}
	idles := make([]idleSample, len(planes))
	for i, p := range planes {
		if idles[i], err = b.idles(ctx, p, filepath.Join(dir, p.Name)); err != nil {
			return nil, fmt.Errorf("%s, idle: %w", p.Name, err)
		}
	}
	figures = summary(starts, idles)
	if b.nodes == 0 {
		return figures, nil
	}
	loads := make([]loadSample, len(planes))
	for i, p := range planes {
		if loads[i], err = b.loads(ctx, p, filepath.Join(dir, p.Name)); err != nil {
			return nil, fmt.Errorf("%s, under load: %w", p.Name, err)
		}
	}
	return append(figures, b.loadFigures(loads)...), nil
}

// startSamples are the measured starts of a control plane, with empty and with
// existing data.
type startSamples struct{ empty, existing []start }

// starts measures a start with empty data, and another one with the data that the
// first has left.
func (b *bench) starts(ctx context.Context, p *plane.Plane, dir string, samples *startSamples) error {
	s, err := plane.NewSite(dir)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for _, list := range []*[]start{&samples.empty, &samples.existing} {
		took, err := measureStart(ctx, p, s)
		if err != nil {
			return err
		}
		fmt.Fprintf(b.log, "%s: ready after %.2f s and %.2f s of CPU; %.2f s of CPU in the first %s\n",
			p.Name, took.ready.Seconds(), took.cpu.Seconds(), took.settled.Seconds(), settledAfter)
		*list = append(*list, took)
	}
	return nil
}

func summary(starts []startSamples, idles []idleSample) []figure.Figure {
	var figures []figure.Figure
	add := func(name, unit string, goal float64, value func(i int) float64) {
		figures = append(figures, compare(name, unit, goal, len(starts), value))
	}
	for _, data := range []struct {
		name  string
		goal  float64
		taken func(startSamples) []start
	}{
		{"existing data", goalReadySeconds, func(s startSamples) []start { return s.existing }},
		{"empty data", 0, func(s startSamples) []start { return s.empty }},
	} {
		of := func(value func(start) time.Duration) func(int) float64 {
			return func(i int) float64 { return median(data.taken(starts[i]), value).Seconds() }
		}
		add("exec to /readyz, "+data.name, "s", data.goal, of(func(s start) time.Duration { return s.ready }))
		add("CPU to /readyz, "+data.name, "s", 0, of(func(s start) time.Duration { return s.cpu }))
		add(fmt.Sprintf("CPU in the first %s, %s", settledAfter, data.name), "s", 0, of(func(s start) time.Duration { return s.settled }))
	}
	add("idle anonymous memory", "MiB", goalAnonymousMiB, func(i int) float64 { return idles[i].memory.Anonymous })
	add("idle resident memory", "MiB", goalResidentMiB, func(i int) float64 { return idles[i].memory.RSS })
	add("idle proportional memory", "MiB", 0, func(i int) float64 { return idles[i].memory.PSS })
	add("idle CPU, of one core", "%", goalIdlePercent, func(i int) float64 { return idles[i].percent })
	return figures
}

// compare returns the figure of Skiff and, if it was measured, of upstream.
func compare(name, unit string, goal float64, planes int, value func(i int) float64) figure.Figure {
	f := figure.New(name, unit, value(0), goal)
	if planes > 1 {
		f = f.Against(value(1))
	}
	return f
}

func median(samples []start, value func(start) time.Duration) time.Duration {
	var values []time.Duration
	for _, s := range samples {
		values = append(values, value(s))
	}
	slices.Sort(values)
	return values[len(values)/2]
}
