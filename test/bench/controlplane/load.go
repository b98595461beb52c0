package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"

	"github.com/skiff-dev/skiff/internal/names"
	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/test/bench/figure"
	"github.com/skiff-dev/skiff/test/bench/plane"
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
func (b *bench) loads(ctx context.Context, p *plane.Plane, dir string) (sample loadSample, err error) {
	s, err := plane.NewSite(dir)
	if err != nil {
		return sample, err
	}
	defer os.RemoveAll(dir)
	r, client, err := p.Serve(ctx, s)
	if err != nil {
		return sample, err
	}
	defer r.Stop()
	if err := pause.For(ctx, b.settle); err != nil {
		return sample, err
	}
	if sample.before, err = r.Memory(); err != nil {
		return sample, err
	}
	limited, cancel := context.WithTimeout(ctx, b.limit)
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
	sample.after, err = r.Memory()
	fmt.Fprintf(b.log, "%s: %d pods on %d nodes are scheduled after %.1f s and Ready after %.1f s and %.1f s of CPU; anonymous memory is %.0f MiB, %.0f before\n",
		p.Name, b.pods, b.nodes, sample.bound.Seconds(), sample.ready.Seconds(), sample.cpu.Seconds(), sample.after.Anonymous, sample.before.Anonymous)
	return sample, err
}

// measureLoad creates the pods and measures requests.
func (b *bench) measureLoad(ctx context.Context, r *plane.Running, client kubernetes.Interface, sample *loadSample) error {
	before, err := r.CPU()
	if err != nil {
		return err
	}
	if sample.bound, sample.ready, err = schedule(ctx, client, b.pods); err != nil {
		return err
	}
	after, err := r.CPU()
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
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: loadNamespace}}
	if _, err := client.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil {
		return stop, fmt.Errorf("create the namespace of the load: %w", err)
	}
	if b.atScale {
		return stop, b.startSimulated(ctx, client)
	}
	for i := range b.nodes {
		n, err := join(ctx, client, fmt.Sprintf("worker-%d", i+1))
		if err != nil {
			return stop, err
		}
		nodes = append(nodes, n)
	}
	return stop, b.awaitNodes(ctx, client)
}

// awaitNodes waits until pods can be created and all nodes accept them.
func (b *bench) awaitNodes(ctx context.Context, client kubernetes.Interface) error {
	for {
		err := schedulable(ctx, client, b.nodes)
		if err == nil {
			return nil
		}
		if pause.For(ctx, loadPoll) != nil {
			return fmt.Errorf("wait for the nodes: %w", err)
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
		own := func(t corev1.Taint) bool { return t.Key == names.TaintSimulated }
		if !slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool { return !own(t) }) {
			untainted++
		}
	}
	if untainted != want {
		return fmt.Errorf("%d of %d nodes are schedulable", untainted, want)
	}
	_, err = client.CoreV1().ServiceAccounts(loadNamespace).Get(ctx, "default", metav1.GetOptions{})
	return err
}

// schedule creates n pods and waits until all are scheduled and Ready. It returns the
// times from the first request until the last pod was.
func schedule(ctx context.Context, client kubernetes.Interface, n int) (bound, ready time.Duration, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	// Servers close watches of clients that are too slow. An informer continues where its
	// watch ended; a watch without a version would begin with all pods again.
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(loadNamespace))
	defer func() {
		cancel(nil)
		factory.Shutdown()
	}()
	seen := newProgress(n, cancel)
	if _, err := factory.Core().V1().Pods().Informer().AddEventHandler(seen); err != nil {
		return 0, 0, fmt.Errorf("watch the pods: %w", err)
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	seen.start = time.Now()
	creating, limited := errgroup.WithContext(ctx)
	creating.SetLimit(creators)
	for i := range n {
		creating.Go(func() error {
			if _, err := client.CoreV1().Pods(loadNamespace).Create(limited, pod(i), metav1.CreateOptions{}); err != nil {
				return fmt.Errorf("create pod %d: %w", i, err)
			}
			return nil
		})
	}
	if err := creating.Wait(); err != nil {
		return 0, 0, errors.Join(err, context.Cause(ctx))
	}
	select {
	case <-ctx.Done():
		return 0, 0, context.Cause(ctx)
	case <-seen.done:
		return seen.bound, seen.ready, nil
	}
}

// progress observes pods until all of them are Ready. Its methods are called one at a time.
type progress struct {
	want              int
	start             time.Time
	withNode, running map[string]bool
	bound, ready      time.Duration // final when done is closed
	done              chan struct{}
	fail              context.CancelCauseFunc
}

func newProgress(want int, fail context.CancelCauseFunc) *progress {
	return &progress{want: want, done: make(chan struct{}), fail: fail, withNode: map[string]bool{}, running: map[string]bool{}}
}

// OnAdd implements cache.ResourceEventHandler.
func (p *progress) OnAdd(object any, _ bool) {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return
	}
	if pod.Spec.NodeName != "" && !p.withNode[pod.Name] {
		p.withNode[pod.Name], p.bound = true, time.Since(p.start)
	}
	if pod.Status.Phase != corev1.PodRunning || p.running[pod.Name] {
		return
	}
	p.running[pod.Name], p.ready = true, time.Since(p.start)
	if len(p.running) == p.want {
		close(p.done)
	}
}

// OnUpdate implements cache.ResourceEventHandler.
func (p *progress) OnUpdate(_, object any) { p.OnAdd(object, false) }

// OnDelete implements cache.ResourceEventHandler. Nothing creates a deleted pod again.
func (p *progress) OnDelete(any) {
	select {
	case <-p.done:
	default:
		p.fail(errors.New("a pod was deleted, as on nodes that are not Ready"))
	}
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
		Spec: corev1.PodSpec{
			Containers:  []corev1.Container{container("server"), container("sidecar")},
			Tolerations: []corev1.Toleration{{Key: names.TaintSimulated, Operator: corev1.TolerationOpExists}},
		},
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
