// Command edge measures how fast the host reaches a Service: through its load
// balancer, by its name, and with kubectl port-forward, each against a direct
// connection to its NodePort from within the nodes' network. It also measures how
// much memory 100 load balancers need. It starts a cluster of sandboxes with a
// separate SKIFF_HOME and kubeconfig, and deletes it at the end.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/skiff-dev/skiff/test/bench/cli"
	"github.com/skiff-dev/skiff/test/bench/figure"
)

// goalRatio is how much of the direct path's speed the load balancer must reach.
const goalRatio = 0.8

// serving is the argument that makes this program the pod's server.
const serving = "serve"

func main() {
	if slices.Equal(os.Args[1:], []string{serving}) {
		fmt.Fprintln(os.Stderr, serve())
		os.Exit(1)
	}
	b := &bench{}
	out := flag.String("out", "build/bench/edge.json", "output file for the figures")
	flag.StringVar(&b.program, "skiff", "bin/skiff", "the skiff program, with the image in the same directory")
	flag.StringVar(&b.kubectlProgram, "kubectl", "build/test/bin/kubectl", "the kubectl program")
	flag.IntVar(&b.megabytes, "size", 1024, "size of the transfer, in MiB")
	flag.IntVar(&b.requests, "requests", 4000, "number of requests, and of connections")
	flag.Parse()
	figure.Main("edge", *out, b.run)
}

// serve answers at port 8080: "ok" at /, and N MiB at /mib/N.
func serve() error {
	block := make([]byte, 1<<20)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /mib/{n}", func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.PathValue("n"))
		for range n {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	})
	return http.ListenAndServe(":8080", mux)
}

type bench struct {
	program             string
	megabytes, requests int
	cluster
}

func (b *bench) run(ctx context.Context) (figures []figure.Figure, err error) {
	if b.kubectlProgram, err = filepath.Abs(b.kubectlProgram); err != nil {
		return nil, err
	}
	if b.skiff, err = cli.New(b.program, "SKIFF_DRIVER=sandbox"); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.skiff.Delete(ctx, clusterName)) }()
	if err := b.up(ctx); err != nil {
		return nil, err
	}
	paths, done, err := b.paths(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	if figures, err = b.compare(ctx, paths); err != nil {
		return nil, err
	}
	memory, err := b.memory(ctx)
	return append(figures, memory), err
}

// compare measures all paths. The first is the one that the others are compared with.
func (b *bench) compare(ctx context.Context, paths []path) (figures []figure.Figure, err error) {
	var direct result
	for i, p := range paths {
		// A first request opens what a path opens once.
		if err := p.get(ctx, "/"); err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		r, err := b.measure(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		if i == 0 {
			direct = r
			continue
		}
		goal := 0.0
		if p.goal {
			goal = 1 / goalRatio
		}
		for _, f := range []struct {
			what, unit      string
			skiff, compared float64
		}{
			{fmt.Sprintf("%d MiB", b.megabytes), "s", r.transfer.Seconds(), direct.transfer.Seconds()},
			{"request, p99 of 8 at once", "ms", milliseconds(r.p99), milliseconds(direct.p99)},
			{fmt.Sprintf("%d connections, 8 at once", b.requests), "s", r.connections.Seconds(), direct.connections.Seconds()},
		} {
			figures = append(figures, figure.New(f.what+", "+p.name, f.unit, f.skiff, goal*f.compared).Against(f.compared))
		}
		figures = append(figures, figure.New(fmt.Sprintf("daemon's CPU time for %d MiB, %s", b.megabytes, p.name), "s", r.cpu.Seconds(), 0))
	}
	return figures, nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
