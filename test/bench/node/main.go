// Command node measures what runs on a skiff node against upstream's kubelet and
// kube-proxy of the same release as separate programs, on the same machine, in
// the same run. Both are workers of one cluster on the sandbox driver: the same
// root, containerd, runc and CNI plugins, the same namespaces and supervisor, the
// same control plane, so that only what runs beside containerd differs. It needs
// Linux and root.
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

	"github.com/skiff-dev/skiff/test/bench/figure"
)

// Goals, as the project set them for native nodes. Elsewhere the goal is to be
// ahead of upstream.
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
	flag.StringVar(&o.program, "skiff", "bin/skiff", "the host program; its image lies beside it")
	flag.StringVar(&o.peers, "peers", "build/peers", "directory of kubelet, kube-proxy and coredns")
	flag.StringVar(&o.images, "images", "build/test/images", "directory of workload.tar")
	flag.IntVar(&o.samples, "samples", 20, "how many pods and services to take one after another")
	flag.IntVar(&o.burst, "burst", 30, "how many pods to start at once")
	flag.IntVar(&o.rounds, "rounds", 3, "how often to start pods at once and to ask DNS")
	flag.DurationVar(&o.settle, "settle", time.Minute, "how long to leave the nodes alone before they count as idle")
	flag.DurationVar(&o.idle, "idle", time.Minute, "how long to watch idle nodes")
	flag.DurationVar(&o.load, "load", 5*time.Second, "how long a round of DNS queries is")
	flag.StringVar(&o.only, "only", "", "only these parts, with commas between: "+strings.Join(parts, ", "))
	quick := flag.Bool("quick", false, "few samples and short waits: whether it works, not how well")
	flag.Parse()
	if *quick {
		o.samples, o.burst, o.rounds = 5, 10, 1
		o.settle, o.idle, o.load = 10*time.Second, 15*time.Second, 2*time.Second
	}
	figure.Main("node", *out, o.run)
}

// parts of a run, in this order: idle nodes come first, since pods leave things
// behind, and a cluster DNS that is a pod comes last.
var parts = []string{"idle", "pods", "burst", "services", "dns"}

// wanted says whether a part is to be measured.
func (o options) wanted(part string) bool {
	return o.only == "" || slices.Contains(strings.Split(o.only, ","), part)
}

// side is one of the two that are compared.
type side struct {
	name, node string
	// programs are the node's own, containerd included.
	programs []string
	idle     idle
	start    []time.Duration // of one pod at a time
	burst    []time.Duration // of many at once
	deletion []time.Duration
	service  []time.Duration // from its creation until it can be reached
	dns      load
	// withDNS is the resident memory in MiB together with a cluster DNS that has
	// not been asked yet.
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
		return nil, errors.New("namespaces need root")
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

// prepare brings the cluster up with the image on all nodes and makes one worker
// upstream's.
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

// turns are the sides in an order that alternates with the round, so that neither
// is always the first.
func (b *bench) turns(round int) []*side {
	if round%2 == 0 {
		return b.sides
	}
	return []*side{b.sides[1], b.sides[0]}
}

// pause waits for d and up to a second more, so that no program's own period
// falls together with the benchmark's.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d + rand.N(time.Second)): //nolint:gosec // no secret
		return nil
	}
}
