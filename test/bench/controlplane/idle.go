package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/test/bench/plane"
	"github.com/skiff-dev/skiff/test/bench/process"
)

// settledAfter is when the work that a control plane defers until it is ready is done.
const settledAfter = 15 * time.Second

// start holds the measurements of a start.
type start struct{ ready, cpu, settled time.Duration }

func measureStart(ctx context.Context, p *plane.Plane, s plane.Site) (took start, err error) {
	r, err := p.Start(s)
	if err != nil {
		return took, err
	}
	defer r.Stop()
	if err := r.Ready(ctx); err != nil {
		return took, err
	}
	took.ready = time.Since(r.Began)
	if took.cpu, err = r.CPU(); err != nil {
		return took, err
	}
	if err := pause.For(ctx, settledAfter-time.Since(r.Began)); err != nil {
		return took, err
	}
	took.settled, err = r.CPU()
	return took, err
}

// idleSample holds the measurements of an idle control plane with one node.
type idleSample struct {
	memory  process.Usage
	percent float64
}

// idles measures an idle control plane that started with existing data and has
// one node.
func (b *bench) idles(ctx context.Context, p *plane.Plane, dir string) (sample idleSample, err error) {
	s, err := plane.NewSite(dir)
	if err != nil {
		return sample, err
	}
	defer os.RemoveAll(dir)
	if _, err := measureStart(ctx, p, s); err != nil {
		return sample, err
	}
	r, client, err := p.Serve(ctx, s)
	if err != nil {
		return sample, err
	}
	defer r.Stop()
	node, err := join(ctx, client, "worker-1")
	if err != nil {
		return sample, err
	}
	defer node.stop()
	if err := pause.For(ctx, b.settle); err != nil {
		return sample, err
	}
	if sample.memory, err = r.Memory(); err != nil {
		return sample, err
	}
	before, err := r.CPU()
	if err != nil {
		return sample, err
	}
	start := time.Now()
	if err := pause.For(ctx, b.idle); err != nil {
		return sample, err
	}
	after, err := r.CPU()
	sample.percent = 100 * (after - before).Seconds() / time.Since(start).Seconds()
	fmt.Fprintf(b.log, "%s: idle with %.0f MiB of anonymous memory, %.0f MiB resident, %.2f %% of a core\n", p.Name, sample.memory.Anonymous, sample.memory.RSS, sample.percent)
	return sample, err
}
