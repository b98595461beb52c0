// Command observe measures what the records of a cluster cost the daemon: its memory and
// CPU for three nodes and 30 pods with records on and off, compared with Prometheus, which
// scrapes the same targets at the same period and keeps all that they export. It starts a
// cluster of sandboxes with a separate SKIFF_HOME and kubeconfig, and deletes it at the
// end.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/test/bench/cli"
	"github.com/skiff-dev/skiff/test/bench/figure"
	"github.com/skiff-dev/skiff/test/bench/process"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

const (
	clusterName = "bench"
	pods        = 30
	// The goals of the project.
	goalMiB     = 30
	goalPercent = 0.5
)

// manifest is a deployment of pods that do nothing.
const manifest = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: idle}
spec:
  replicas: %d
  selector: {matchLabels: {app: idle}}
  template:
    metadata: {labels: {app: idle}}
    spec:
      terminationGracePeriodSeconds: 0
      tolerations: [{operator: Exists}]
      containers: [{name: pause, image: "registry.k8s.io/pause:3.10.2", imagePullPolicy: Never}]
`

func main() {
	b := &bench{}
	out := flag.String("out", "build/bench/observe.json", "output file for the figures")
	flag.StringVar(&b.program, "skiff", "bin/skiff", "the skiff program, with the image in the same directory")
	flag.StringVar(&b.kubectl, "kubectl", "build/test/bin/kubectl", "the kubectl program")
	flag.StringVar(&b.prometheus, "prometheus", "", "the Prometheus program; empty measures no peer")
	flag.DurationVar(&b.settle, "settle", time.Minute, "time before each measurement")
	flag.DurationVar(&b.measure, "measure", 2*time.Minute, "length of each measurement")
	flag.Parse()
	figure.Main("observe", *out, b.run)
}

type bench struct {
	program, kubectl, prometheus string
	settle, measure              time.Duration
	skiff                        cli.Skiff
	daemon                       int // process ID
}

// cost is what a process used.
type cost struct{ mib, percent float64 }

func (b *bench) run(ctx context.Context) (figures []figure.Figure, err error) {
	if b.skiff, err = cli.New(b.program, "SKIFF_DRIVER=sandbox"); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.skiff.Delete(ctx, clusterName)) }()
	if err := b.up(ctx); err != nil {
		return nil, err
	}
	off, err := b.watch(ctx, b.daemon)
	if err != nil {
		return nil, err
	}
	if _, err := b.skiff.Run(ctx, "up", clusterName, "--records=true"); err != nil {
		return nil, err
	}
	logs, err := process.Child(b.daemon, "logstore")
	if err != nil {
		return nil, err
	}
	on, err := b.watch(ctx, b.daemon, logs)
	if err != nil {
		return nil, err
	}
	series, err := b.series(ctx)
	if err != nil {
		return nil, err
	}
	memory := figure.New("memory that records add to the daemon (peer: all of Prometheus)", "MiB", on[0].mib-off[0].mib, goalMiB)
	cpu := figure.New("CPU that records add to the daemon (peer: all of Prometheus)", "% of a core", on[0].percent-off[0].percent, goalPercent)
	kept := figure.New("series", "", series, 0)
	if b.prometheus != "" {
		peer, all, err := b.peer(ctx)
		if err != nil {
			return nil, err
		}
		memory, cpu, kept = memory.Against(peer.mib), cpu.Against(peer.percent), kept.Against(all)
	}
	return []figure.Figure{
		memory, cpu, kept,
		figure.New("CPU of records with the log store's process", "% of a core", on[0].percent-off[0].percent+on[1].percent, goalPercent),
		figure.New("memory of the log store's process", "MiB", on[1].mib, 0),
		figure.New("memory of the daemon without records", "MiB", off[0].mib, 0),
		figure.New("CPU of the daemon without records", "% of a core", off[0].percent, 0),
	}, nil
}

// up starts the cluster without records, and the pods.
func (b *bench) up(ctx context.Context) error {
	if _, err := b.skiff.Run(ctx, "up", clusterName, "--records=false", "--memory", "1536Mi"); err != nil {
		return err
	}
	apply := exec.CommandContext(ctx, b.kubectl, "apply", "-f", "-")
	apply.Env, apply.Stderr, apply.Stdin = b.skiff.Env, os.Stderr, strings.NewReader(fmt.Sprintf(manifest, pods))
	if err := apply.Run(); err != nil {
		return fmt.Errorf("kubectl apply: %w", err)
	}
	rollout := exec.CommandContext(ctx, b.kubectl, "rollout", "status", "deployment/idle", "--timeout=120s")
	rollout.Env, rollout.Stderr = b.skiff.Env, os.Stderr
	if err := rollout.Run(); err != nil {
		return fmt.Errorf("wait for the pods: %w", err)
	}
	var status daemonapi.ClusterStatus
	err := b.skiff.Query(ctx, &status, "status", clusterName)
	b.daemon = status.DaemonPID
	return err
}

// watch returns what processes use after a while.
func (b *bench) watch(ctx context.Context, pids ...int) ([]cost, error) {
	if err := pause.For(ctx, b.settle); err != nil {
		return nil, err
	}
	used := make([]cost, len(pids))
	spent := func(sign float64) error {
		for i, pid := range pids {
			cpu, err := process.CPU(pid)
			if err != nil {
				return err
			}
			used[i].percent += sign * 100 * cpu.Seconds() / b.measure.Seconds()
		}
		return nil
	}
	if err := spent(-1); err != nil {
		return nil, err
	}
	if err := pause.For(ctx, b.measure); err != nil {
		return nil, err
	}
	if err := spent(1); err != nil {
		return nil, err
	}
	for i, pid := range pids {
		memory, err := process.Memory(pid)
		if err != nil {
			return nil, err
		}
		used[i].mib = memory.Anonymous
	}
	return used, nil
}

// series returns how many series are recorded.
func (b *bench) series(ctx context.Context) (float64, error) {
	var answer response
	err := b.skiff.Query(ctx, &answer, "metrics", "query", "-c", clusterName, `count({__name__=~".+"})`)
	if err != nil {
		return 0, err
	}
	return answer.value()
}

// response is the answer to a query of one value.
type response struct {
	Data struct {
		Result []struct{ Value [2]json.RawMessage }
	}
}

func (r response) value() (value float64, err error) {
	if len(r.Data.Result) != 1 {
		return 0, errors.New("the query has no result")
	}
	text := strings.Trim(string(r.Data.Result[0].Value[1]), `"`)
	_, err = fmt.Sscan(text, &value)
	return value, err
}
