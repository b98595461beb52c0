// Command runtimes compares the container runtimes that nodes offer: how long a pod takes to
// start, and how much memory an idle one needs, its shim included. The nodes are sandboxes,
// so it needs Linux and root.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/ptr"

	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/test/bench/cli"
	"github.com/skiff-dev/skiff/test/bench/figure"
	"github.com/skiff-dev/skiff/test/bench/podimage"
	"github.com/skiff-dev/skiff/test/bench/process"
	"github.com/skiff-dev/skiff/vm/home"
)

// cluster is the measured cluster, worker its node that runs the pods, sleeping the argument
// that makes this program a pod's, runc the runtime that the others are compared with.
const (
	cluster  = "bench"
	worker   = "worker-1"
	sleeping = "sleep"
	runc     = "runc"
	image    = "skiff.test/sleep:1"
)

// settle is how long new pods may allocate memory before it is measured.
const settle = 5 * time.Second

func main() {
	if slices.Equal(os.Args[1:], []string{sleeping}) {
		ended := make(chan os.Signal, 1)
		signal.Notify(ended, syscall.SIGTERM)
		<-ended
		return
	}
	b := &bench{starts: map[string][]time.Duration{}, memory: map[string]float64{}}
	out := flag.String("out", "build/bench/runtimes.json", "output file for the figures")
	flag.StringVar(&b.program, "skiff", "bin/skiff", "the skiff program, with the image in the same directory")
	flag.IntVar(&b.rounds, "rounds", 15, "number of pods of each runtime that are started one at a time")
	flag.IntVar(&b.pods, "pods", 5, "number of idle pods of each runtime whose memory is measured")
	flag.Parse()
	figure.Main("runtimes", *out, b.run)
}

type bench struct {
	program      string
	rounds, pods int
	skiff        cli.Skiff
	api          kubernetes.Interface
	starts       map[string][]time.Duration // of pods, by runtime
	memory       map[string]float64         // MiB for each pod, by runtime
}

func (b *bench) run(ctx context.Context) (figures []figure.Figure, err error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("run as root: namespaces need it")
	}
	if b.skiff, err = cli.New(b.program, "SKIFF_DRIVER=sandbox"); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.skiff.Delete(ctx, cluster)) }()
	if err := b.prepare(ctx); err != nil {
		return nil, err
	}
	runtimes := append([]string{runc}, nodeconfig.RuntimeNames()...)
	for round := range b.rounds {
		// The order rotates, so that no runtime is always first.
		for i := range runtimes {
			runtime := runtimes[(i+round)%len(runtimes)]
			took, err := b.start(ctx, fmt.Sprintf("%s-%d", runtime, round), runtime)
			if err != nil {
				return nil, err
			}
			b.starts[runtime] = append(b.starts[runtime], took)
			if err := b.remove(ctx); err != nil {
				return nil, err
			}
		}
	}
	for _, runtime := range runtimes {
		if b.memory[runtime], err = b.idle(ctx, runtime); err != nil {
			return nil, err
		}
	}
	for _, runtime := range runtimes[1:] {
		figures = append(figures,
			figure.New("start of a pod with "+runtime+", runc beside it", "s", b.median(runtime), 0).Against(b.median(runc)),
			figure.New("memory of an idle pod with "+runtime+", runc beside it", "MiB", b.memory[runtime], 0).Against(b.memory[runc]))
	}
	return figures, nil
}

func (b *bench) prepare(ctx context.Context) error {
	up := []string{"up", cluster, "--control-planes", "1", "--workers", "1"}
	for _, name := range nodeconfig.RuntimeNames() {
		up = append(up, "--runtime", name)
	}
	if _, err := b.skiff.Run(ctx, up...); err != nil {
		return err
	}
	layer, err := podimage.Layer()
	if err != nil {
		return err
	}
	archive := filepath.Join(b.skiff.Dir, "image.tar")
	if err := podimage.Write(archive, image, layer, podimage.Program, sleeping); err != nil {
		return err
	}
	if _, err := b.skiff.Run(ctx, "image", "load", "--cluster", cluster, archive); err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", b.skiff.Kubeconfig())
	if err != nil {
		return err
	}
	b.api, err = kubernetes.NewForConfig(config)
	return err
}

// start creates a pod and returns how long it took until it was Ready.
func (b *bench) start(ctx context.Context, name, runtime string) (time.Duration, error) {
	pods := b.api.CoreV1().Pods(metav1.NamespaceDefault)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PodSpec{
			NodeName: worker, AutomountServiceAccountToken: ptr.To(false), TerminationGracePeriodSeconds: ptr.To(int64(1)),
			Containers: []corev1.Container{{Name: "sleep", Image: image}},
		},
	}
	if runtime != runc {
		pod.Spec.RuntimeClassName = &runtime
	}
	began := time.Now()
	created, err := pods.Create(ctx, pod, metav1.CreateOptions{})
	if err != nil {
		return 0, err
	}
	events, err := pods.Watch(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("metadata.name", name).String(), ResourceVersion: created.ResourceVersion,
		TimeoutSeconds: ptr.To(int64(60)),
	})
	if err != nil {
		return 0, err
	}
	defer events.Stop()
	for event := range events.ResultChan() {
		if pod, ok := event.Object.(*corev1.Pod); ok && event.Type == watch.Modified && ready(pod) {
			return time.Since(began), nil
		}
	}
	return 0, errors.Join(fmt.Errorf("pod %s did not become Ready", name), ctx.Err())
}

func ready(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// remove deletes all pods and waits until they are gone.
func (b *bench) remove(ctx context.Context) error {
	pods := b.api.CoreV1().Pods(metav1.NamespaceDefault)
	if err := pods.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
		return err
	}
	for {
		left, err := pods.List(ctx, metav1.ListOptions{})
		if err != nil || len(left.Items) == 0 {
			return err
		}
		if err := pause.For(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

// idle returns how much memory in MiB each of several idle pods needs.
func (b *bench) idle(ctx context.Context, runtime string) (float64, error) {
	before, err := b.resident(ctx)
	if err != nil {
		return 0, err
	}
	for i := range b.pods {
		if _, err := b.start(ctx, fmt.Sprintf("idle-%s-%d", runtime, i), runtime); err != nil {
			return 0, err
		}
	}
	after, err := b.resident(ctx)
	if err != nil {
		return 0, err
	}
	return (after - before) / float64(b.pods), b.remove(ctx)
}

// resident returns the memory in MiB of the processes of pods and shims on the worker. Pages
// that several processes share count once. Skiff's own programs are left out, because their
// memory depends on what they did before.
func (b *bench) resident(ctx context.Context) (float64, error) {
	if err := pause.For(ctx, settle); err != nil {
		return 0, err
	}
	content, err := os.ReadFile(filepath.Join(home.Home(b.skiff.Home()).Cluster(cluster).Machines(), worker, "pid"))
	if err != nil {
		return 0, err
	}
	first, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		return 0, err
	}
	total := 0.0
	for _, pid := range descendants(first) {
		program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
		if name := filepath.Base(program); err != nil || name == "containerd" || strings.HasPrefix(name, "skiff-") {
			continue
		}
		if usage, err := process.Memory(pid); err == nil { // it may have ended
			total += usage.PSS
		}
	}
	return total, nil
}

// descendants returns the processes that a process has started directly or indirectly.
func descendants(of int) []int {
	var all []int
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", of))
	if err != nil {
		return nil
	}
	for _, list := range lists {
		content, err := os.ReadFile(list)
		if err != nil {
			continue
		}
		for _, text := range strings.Fields(string(content)) {
			if pid, err := strconv.Atoi(text); err == nil {
				all = append(all, pid)
				all = append(all, descendants(pid)...)
			}
		}
	}
	return all
}

// median returns the median time of a pod's start in seconds.
func (b *bench) median(runtime string) float64 {
	sorted := slices.Sorted(slices.Values(b.starts[runtime]))
	return sorted[len(sorted)/2].Seconds()
}
