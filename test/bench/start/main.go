// Command start measures how fast a cluster starts in every way that Skiff has: new, after a
// stop, from memory that was kept, from a template, as a clone of a snapshot, and after a pause.
// On VMs, the others are compared with the first. On sandboxes, beside them in the same run,
// upstream's etcd, kube-apiserver, kube-controller-manager and kube-scheduler
// of the same release start as separate programs, with empty and with existing data, until
// the API is ready. That is less than what is measured of Skiff: there are no machines and
// no kubelets, and certificates exist already.
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

	"github.com/skiff-dev/skiff/test/bench/cli"
	"github.com/skiff-dev/skiff/test/bench/figure"
	"github.com/skiff-dev/skiff/test/bench/plane"
)

// Goals of the project, on two cores: for sandboxes, and for emulated VMs.
const (
	goalNewSeconds   = 2
	goalCloneSeconds = 1.5
	goalVMsSeconds   = 60
)

// sandbox is the driver whose machines run natively.
const sandbox = "sandbox"

// bench is one run.
type bench struct {
	program, peers, driver string
	rounds                 int
	skiff                  cli.Skiff
	samples                map[start][]time.Duration
}

// start is what is measured.
type start string

const (
	startNew        start = "new cluster, three nodes Ready"
	startNewAPI     start = "new cluster, API ready"
	startAgain      start = "start after stop, three nodes Ready"
	startAgainAPI   start = "start after stop, API ready"
	startSaved      start = "start from saved memory, three nodes Ready"
	startTemplate   start = "new cluster from a template, three nodes Ready"
	startClone      start = "clone of a snapshot, three nodes Ready"
	startCloneSaved start = "clone of a snapshot with memory, three nodes Ready"
	startResumeAPI  start = "resume after pause, API answers"
	startResume     start = "resume after pause, three nodes Ready"
	upstreamNew     start = "upstream with empty data, API ready"
	upstreamAgain   start = "upstream with existing data, API ready"
	cluster, copied       = "bench", "bench-clone"
	snapshotName          = "ready"
)

// order is the order of the figures, each with the start of upstream that it is compared
// with. Upstream has neither clones nor pauses: its programs would start with existing data.
var order = []struct{ ours, peer start }{
	{startNew, upstreamNew},
	{startNewAPI, upstreamNew},
	{startAgain, upstreamAgain},
	{startAgainAPI, upstreamAgain},
	{startSaved, upstreamAgain},
	{startTemplate, upstreamNew},
	{startClone, upstreamAgain},
	{startCloneSaved, upstreamAgain},
	{startResumeAPI, upstreamAgain},
	{startResume, upstreamAgain},
}

func main() {
	out := flag.String("out", "build/bench/start.json", "file for the figures")
	b := &bench{samples: map[start][]time.Duration{}}
	flag.StringVar(&b.program, "skiff", "bin/skiff", "path of the skiff program; the node image is in its directory")
	flag.StringVar(&b.peers, "peers", "build/peers", "directory of upstream's programs (empty: measure Skiff only); not used with VMs, because they run on the host itself")
	flag.StringVar(&b.driver, "driver", sandbox, "driver of the machines: sandbox or lima")
	flag.IntVar(&b.rounds, "rounds", 7, "number of starts of each kind, for the median")
	quick := flag.Bool("quick", false, "one round, as a test of the benchmark itself")
	flag.Parse()
	if *quick {
		b.rounds = 1
	}
	figure.Main("start", *out, b.run)
}

func (b *bench) run(ctx context.Context) (figures []figure.Figure, err error) {
	if b.driver == sandbox && os.Geteuid() != 0 {
		return nil, errors.New("run as root: namespaces need it")
	}
	if b.skiff, err = cli.New(b.program); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.skiff.Delete(ctx, cluster)) }()
	for round := range b.rounds {
		if b.driver == sandbox && b.peers != "" {
			if err := b.upstream(ctx, filepath.Join(b.skiff.Dir, "upstream")); err != nil {
				return nil, fmt.Errorf("upstream, round %d: %w", round+1, err)
			}
		}
		if err := b.round(ctx); err != nil {
			return nil, fmt.Errorf("round %d: %w", round+1, err)
		}
	}
	return b.figures(), nil
}

// upstream measures a start of upstream's programs with empty data, and one with the data
// that the first has left.
func (b *bench) upstream(ctx context.Context, dir string) error {
	site, err := plane.NewSite(dir)
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	p := &plane.Plane{Name: "upstream", Commands: func(s plane.Site) []plane.Command { return plane.UpstreamCommands(b.peers, s) }}
	for _, kind := range []start{upstreamNew, upstreamAgain} {
		running, err := p.Start(site)
		if err != nil {
			return err
		}
		err = running.Ready(ctx)
		took := time.Since(running.Began)
		running.Stop()
		if err != nil {
			return err
		}
		b.record(kind, took)
	}
	return nil
}

func (b *bench) record(kind start, took time.Duration) {
	fmt.Fprintf(os.Stderr, "%s: %.2f s\n", kind, took.Seconds())
	b.samples[kind] = append(b.samples[kind], took)
}

// figures are the medians of what was measured.
func (b *bench) figures() []figure.Figure {
	goals := map[start]float64{startNew: goalNewSeconds, startClone: goalCloneSeconds}
	if b.driver != sandbox {
		goals = map[start]float64{startNew: goalVMsSeconds}
	}
	var figures []figure.Figure
	for _, row := range order {
		if len(b.samples[row.ours]) == 0 {
			continue
		}
		f := figure.New(string(row.ours), "s", median(b.samples[row.ours]), goals[row.ours])
		peer := row.peer
		if b.driver != sandbox && row.ours != startNew {
			peer = startNew
		}
		if samples := b.samples[peer]; len(samples) > 0 {
			f = f.Against(median(samples))
		}
		figures = append(figures, f)
	}
	return figures
}

func median(samples []time.Duration) float64 {
	sorted := slices.Sorted(slices.Values(samples))
	return sorted[len(sorted)/2].Seconds()
}
