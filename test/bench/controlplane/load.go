package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"

	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/test/bench/figure"
	"github.com/skiff-dev/skiff/test/bench/process"
)

// Parameters of the load test.
const (
	loadNamespace = "load"
	// creators is the number of clients that create pods concurrently.
	creators  = 8
	loadLimit = 10 * time.Minute
	lists     = 100
	writes    = 300
	loadPoll  = 200 * time.Millisecond
)

// loadSample is the result of a load test.
type loadSample struct {
	before, after process.Usage
	// bound and ready are the times from the first request until the last pod was
	// scheduled and Ready; cpu is the CPU time used for that.
	bound, ready, cpu time.Duration
	lists, watches    []time.Duration
}

// loads starts a control plane with empty data and simulated kubelets, creates
// pods, and measures response times with all of them present.
func (b *bench) loads(ctx context.Context, p *plane, dir string) (sample loadSample, err error) {
	s, err := newSite(dir)
	if err != nil {
		return sample, err
	}
	defer os.RemoveAll(dir)
	r, client, err := p.serve(ctx, s)
	if err != nil {
		return sample, err
	}
	defer r.stop()
	if err := pause.For(ctx, b.settle); err != nil {
		return sample, err
	}
	if sample.before, err = r.memory(); err != nil {
		return sample, err
	}
	limited, cancel := context.WithTimeout(ctx, loadLimit)
	defer cancel()
	stop, err := b.startNodes(limited, client)
	defer stop()
	if err != nil {
		return sample, err
	}
	if err := b.measureLoad(limited, r, client, &sample); err != nil {
		return sample, err
	}
	if err := pause.For(ctx, b.settle); err != nil {
		return sample, err
	}
	sample.after, err = r.memory()
	fmt.Fprintf(b.log, "%s: %d pods on %d nodes are scheduled after %.1f s and Ready after %.1f s and %.1f s of CPU; anonymous memory is %.0f MiB, %.0f before\n",
		p.name, b.pods, b.nodes, sample.bound.Seconds(), sample.ready.Seconds(), sample.cpu.Seconds(), sample.after.Anonymous, sample.before.Anonymous)
	return sample, err
}

// measureLoad creates the pods and measures requests.
func (b *bench) measureLoad(ctx context.Context, r *running, client kubernetes.Interface, sample *loadSample) error {
	before, err := r.cpu()
	if err != nil {
		return err
	}
	if sample.bound, sample.ready, err = schedule(ctx, client, b.pods); err != nil {
		return err
	}
	after, err := r.cpu()
	if err != nil {
		return err
	}
	sample.cpu = after - before
	if sample.lists, err = listLatencies(ctx, client, b.pods); err != nil {
		return err
	}
	sample.watches, err = watchLatencies(ctx, client)
	return err
}

// startNodes registers the nodes and waits until they accept pods. stop stops
// their kubelets; it must be called after an error, too.
func (b *bench) startNodes(ctx context.Context, client kubernetes.Interface) (stop func(), err error) {
	var nodes []*node
	stop = func() {
		for _, n := range nodes {
			n.stop()
		}
	}
	for i := range b.nodes {
		n, err := join(ctx, client, fmt.Sprintf("worker-%d", i+1))
		if err != nil {
			return stop, err
		}
		nodes = append(nodes, n)
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: loadNamespace}}
	if _, err := client.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil {
		return stop, fmt.Errorf("create the namespace of the load: %w", err)
	}
	for {
		err := schedulable(ctx, client, b.nodes)
		if err == nil {
			return stop, nil
		}
		if pause.For(ctx, loadPoll) != nil {
			return stop, fmt.Errorf("wait for the nodes: %w", err)
		}
	}
}

// schedulable returns nil if all nodes accept pods and the namespace has its
// service account.
func schedulable(ctx context.Context, client kubernetes.Interface, want int) error {
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	untainted := 0
	for _, n := range nodes.Items {
		if len(n.Spec.Taints) == 0 {
			untainted++
		}
	}
	if untainted != want {
		return fmt.Errorf("%d of %d nodes are schedulable", untainted, want)
	}
	_, err = client.CoreV1().ServiceAccounts(loadNamespace).Get(ctx, "default", metav1.GetOptions{})
	return err
}

// schedule creates n pods and waits until all are scheduled and Ready.
func schedule(ctx context.Context, client kubernetes.Interface, n int) (bound, ready time.Duration, err error) {
	pods := client.CoreV1().Pods(loadNamespace)
	events, err := pods.Watch(ctx, metav1.ListOptions{})
	if err != nil {
		return 0, 0, fmt.Errorf("watch the pods: %w", err)
	}
	defer func() { events.Stop() }()
	start := time.Now()
	failed := make(chan error, creators)
	var creating sync.WaitGroup
	defer creating.Wait()
	for first := range creators {
		creating.Go(func() {
			for i := first; i < n; i += creators {
				if _, err := pods.Create(ctx, pod(i), metav1.CreateOptions{}); err != nil {
					failed <- fmt.Errorf("create pod %d: %w", i, err)
					return
				}
			}
		})
	}
	withNode, running := map[string]bool{}, map[string]bool{}
	for len(running) < n {
		select {
		case err := <-failed:
			return 0, 0, err
		case event, more := <-events.ResultChan():
			p, ok := event.Object.(*corev1.Pod)
			if !more || !ok {
				// The server closes watches that are too slow. A new watch starts with the
				// current objects.
				events.Stop()
				if events, err = pods.Watch(ctx, metav1.ListOptions{}); err != nil {
					return 0, 0, fmt.Errorf("watch the pods again: %w", err)
				}
				continue
			}
			if p.Spec.NodeName != "" && !withNode[p.Name] {
				withNode[p.Name], bound = true, time.Since(start)
			}
			if p.Status.Phase == corev1.PodRunning && !running[p.Name] {
				running[p.Name], ready = true, time.Since(start)
			}
		}
	}
	return bound, ready, nil
}

// pod returns a typical pod, with labels, two containers and some environment.
func pod(i int) *corev1.Pod {
	container := func(name string) corev1.Container {
		c := corev1.Container{Name: name, Image: "registry.example/" + name + ":1.0", Command: []string{"/bin/" + name, "--verbose"}}
		for v := range 5 {
			c.Env = append(c.Env, corev1.EnvVar{Name: fmt.Sprintf("SETTING_%d", v), Value: "a value of ordinary length"})
		}
		return c
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("pod-%d", i), Labels: map[string]string{"app": "load", "group": strconv.Itoa(i % 10)}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{container("server"), container("sidecar")}},
	}
}

// listLatencies measures lists of all pods.
func listLatencies(ctx context.Context, client kubernetes.Interface, want int) ([]time.Duration, error) {
	var took []time.Duration
	for range lists {
		start := time.Now()
		got, err := client.CoreV1().Pods(loadNamespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, fmt.Errorf("list the pods: %w", err)
		}
		if len(got.Items) != want {
			return nil, fmt.Errorf("list the pods: got %d, want %d", len(got.Items), want)
		}
		took = append(took, time.Since(start))
	}
	return took, nil
}

// watchLatencies writes an object repeatedly, and measures the time from the
// request until a watch delivers the change.
func watchLatencies(ctx context.Context, client kubernetes.Interface) ([]time.Duration, error) {
	maps := client.CoreV1().ConfigMaps(loadNamespace)
	object, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "latency"}}, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("create an object to watch: %w", err)
	}
	events, err := maps.Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=latency", ResourceVersion: object.ResourceVersion})
	if err != nil {
		return nil, fmt.Errorf("watch an object: %w", err)
	}
	defer events.Stop()
	arrived := make(chan arrival, 1)
	go arrivals(events, arrived)
	var took []time.Duration
	for i := range writes {
		start := time.Now()
		object.Data = map[string]string{"value": strconv.Itoa(i)}
		if object, err = maps.Update(ctx, object, metav1.UpdateOptions{}); err != nil {
			return nil, fmt.Errorf("write the watched object: %w", err)
		}
		seen, more := <-arrived
		if !more || seen.value != object.Data["value"] {
			return nil, errors.Join(fmt.Errorf("the watch delivered %q, want %q", seen.value, object.Data["value"]), ctx.Err())
		}
		took = append(took, seen.at.Sub(start))
	}
	return took, nil
}

// arrival is a value and the time at which a watch delivered it.
type arrival struct {
	value string
	at    time.Time
}

func arrivals(events watch.Interface, to chan<- arrival) {
	defer close(to)
	for event := range events.ResultChan() {
		if m, ok := event.Object.(*corev1.ConfigMap); ok {
			to <- arrival{m.Data["value"], time.Now()}
		}
	}
}

// percentile returns the smallest sample that at least p percent of the samples
// do not exceed.
func percentile(samples []time.Duration, p int) time.Duration {
	sorted := slices.Sorted(slices.Values(samples))
	return sorted[max(0, (len(sorted)*p+99)/100-1)]
}

func (b *bench) loadFigures(loads []loadSample) []figure.Figure {
	var figures []figure.Figure
	add := func(name, unit string, value func(loadSample) float64) {
		figures = append(figures, compare(fmt.Sprintf("%s, %d pods on %d nodes", name, b.pods, b.nodes), unit, 0, len(loads),
			func(i int) float64 { return value(loads[i]) }))
	}
	milliseconds := func(d time.Duration) float64 { return 1000 * d.Seconds() }
	add("pods scheduled", "1/s", func(l loadSample) float64 { return float64(b.pods) / l.bound.Seconds() })
	add("time until all are Ready", "s", func(l loadSample) float64 { return l.ready.Seconds() })
	add("CPU until all are Ready", "s", func(l loadSample) float64 { return l.cpu.Seconds() })
	for _, p := range []int{50, 99} {
		add(fmt.Sprintf("list p%d", p), "ms", func(l loadSample) float64 { return milliseconds(percentile(l.lists, p)) })
		add(fmt.Sprintf("watch p%d", p), "ms", func(l loadSample) float64 { return milliseconds(percentile(l.watches, p)) })
	}
	add("anonymous memory", "MiB", func(l loadSample) float64 { return l.after.Anonymous })
	add("growth of anonymous memory", "MiB", func(l loadSample) float64 { return l.after.Anonymous - l.before.Anonymous })
	return figures
}
