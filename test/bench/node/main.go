// Command node compares a Skiff node with upstream's kubelet and kube-proxy of the same
// release as separate programs, on the same machine, in the same run. Both are workers
// of one cluster on the sandbox driver, with the same root, containerd, runc, CNI
// plugins, namespaces, supervisor and control plane, so that only the programs besides
// containerd differ. It needs Linux and root.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"

	waiting "github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/test/bench/figure"
)

// The project's goals for native nodes. Elsewhere the goal is to be better than
// upstream.
const (
	goalResidentMiB  = 90
	goalIdlePercent  = 0.5
	goalReadySeconds = 0.3
)

// options of a run.
type options struct {
	program, peers, images string
	only                   string
	samples                int // pods and services, one at a time
	burst, rounds          int // pods at once, and how often
	settle, idle           time.Duration
	load                   time.Duration // of one round of DNS queries
}

func main() {
	out := flag.String("out", "build/bench/node.json", "file for the figures")
	var o options
	flag.StringVar(&o.program, "skiff", "bin/skiff", "path of the skiff program; the node image is in its directory")
	flag.StringVar(&o.peers, "peers", "build/peers", "directory of kubelet, kube-proxy and coredns")
	flag.StringVar(&o.images, "images", "build/test/images", "directory of workload.tar")
	flag.IntVar(&o.samples, "samples", 20, "number of pods and services measured one at a time")
	flag.IntVar(&o.burst, "burst", 30, "number of pods started at once")
	flag.IntVar(&o.rounds, "rounds", 3, "number of rounds of pods at once and of DNS queries")
	flag.DurationVar(&o.settle, "settle", time.Minute, "time until nodes count as idle")
	flag.DurationVar(&o.idle, "idle", time.Minute, "duration of the measurement of idle nodes")
	flag.DurationVar(&o.load, "load", 5*time.Second, "duration of a round of DNS queries")
	flag.StringVar(&o.only, "only", "", "comma-separated parts to run: "+strings.Join(parts, ", "))
	quick := flag.Bool("quick", false, "few samples and short waits, as a test of the benchmark itself")
	flag.Parse()
	if *quick {
		o.samples, o.burst, o.rounds = 5, 10, 1
		o.settle, o.idle, o.load = 10*time.Second, 15*time.Second, 2*time.Second
	}
	figure.Main("node", *out, o.run)
}

// parts of a run, in order: idle nodes come first, since pods leave memory in use, and
// a cluster DNS that runs as a pod comes last.
var parts = []string{"idle", "pods", "burst", "services", "dns"}

// wanted reports whether to measure a part.
func (o options) wanted(part string) bool {
	return o.only == "" || slices.Contains(strings.Split(o.only, ","), part)
}

// side is one of the two nodes that are compared.
type side struct {
	name, node string
	// programs are the node's own, containerd included.
	programs []string
	idle     idle
	start    []time.Duration // of pods one at a time
	burst    []time.Duration // of many pods at once
	deletion []time.Duration
	service  []time.Duration // from creation until it is reachable
	dns      load
	// withDNS is the resident memory in MiB including a cluster DNS that has not yet
	// been queried.
	withDNS float64
}

// bench is one run.
type bench struct {
	options
	cluster *cluster
	api     kubernetes.Interface
	pods    *podWatch
	sides   []*side
}

func (o options) run(ctx context.Context) (figures []figure.Figure, err error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("run as root: namespaces need it")
	}
	c, err := newCluster(o.program)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.down()) }()
	b := &bench{options: o, cluster: c, sides: []*side{
		{name: "skiff", node: "worker-1", programs: []string{"skiff-nodeagent", "containerd"}},
		{name: "upstream", node: "worker-2", programs: []string{"kubelet", "kube-proxy", "containerd"}},
	}}
	if err := b.prepare(ctx); err != nil {
		return nil, err
	}
	defer b.pods.stop()
	for i, measure := range []func(context.Context) error{b.idles, b.single, b.bursts, b.services, b.names} {
		if !o.wanted(parts[i]) {
			continue
		}
		begun := time.Now()
		if err := measure(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", parts[i], err)
		}
		fmt.Fprintf(os.Stderr, "%s: %.0f s\n", parts[i], time.Since(begun).Seconds())
	}
	return b.summary(), nil
}

// prepare creates the cluster, loads the image onto all nodes, and runs upstream's
// programs on one worker.
func (b *bench) prepare(ctx context.Context) error {
	if err := b.cluster.up(ctx); err != nil {
		return err
	}
	if err := b.cluster.skiff(ctx, nil, "image", "load", b.images+"/workload.tar", "--cluster", clusterName); err != nil {
		return err
	}
	var err error
	if b.api, err = b.cluster.client(); err != nil {
		return err
	}
	if err := b.becomeUpstream(ctx, b.sides[1].node); err != nil {
		return fmt.Errorf("run upstream's programs on %s: %w", b.sides[1].node, err)
	}
	b.pods, err = b.watchPods(ctx)
	return err
}

// turns returns the sides in an order that alternates with the round, so that neither
// is always first.
func (b *bench) turns(round int) []*side {
	if round%2 == 0 {
		return b.sides
	}
	return []*side{b.sides[1], b.sides[0]}
}

// pause waits for d and up to a second more, so that the benchmark does not run in
// step with a program's own periods.
func pause(ctx context.Context, d time.Duration) error {
	return waiting.For(ctx, d+rand.N(time.Second)) //nolint:gosec // not a secret
}
