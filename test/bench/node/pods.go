package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

const (
	namespace = metav1.NamespaceDefault
	image     = "skiff.test/workload:1"
	// podLimit bounds how long a pod may take to start or to be deleted.
	podLimit = 2 * time.Minute
	// accountWait bounds how long a new cluster may take to create its first account.
	accountWait = 10 * time.Second
)

// podWatch records when pods became Ready and when they were gone.
type podWatch struct {
	stop func()

	mu    sync.Mutex // guards the fields below
	ready map[string]chan time.Time
	gone  map[string]chan time.Time
}

// watchPods watches until stop is called. The service account of pods exists when it
// returns.
func (b *bench) watchPods(ctx context.Context) (*podWatch, error) {
	for deadline := time.Now().Add(accountWait); ; {
		_, err := b.api.CoreV1().ServiceAccounts(namespace).Get(ctx, "default", metav1.GetOptions{})
		if err == nil {
			break
		}
		if !apierrors.IsNotFound(err) || time.Now().After(deadline) {
			return nil, err
		}
		if err := pause(ctx, 0); err != nil {
			return nil, err
		}
	}
	w := &podWatch{ready: map[string]chan time.Time{}, gone: map[string]chan time.Time{}}
	factory := informers.NewSharedInformerFactoryWithOptions(b.api, 0, informers.WithNamespace(namespace))
	informer := factory.Core().V1().Pods().Informer()
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    w.seen,
		UpdateFunc: func(_, object any) { w.seen(object) },
		DeleteFunc: func(object any) {
			if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(object); err == nil {
				w.tell(w.gone, key[len(namespace)+1:])
			}
		},
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	w.stop = func() { cancel(); factory.Shutdown() }
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		w.stop()
		return nil, errors.New("watch pods: interrupted")
	}
	return w, nil
}

func (w *podWatch) seen(object any) {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return
	}
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue {
			w.tell(w.ready, pod.Name)
		}
	}
}

// tell sends the time to the waiting channel, once.
func (w *podWatch) tell(to map[string]chan time.Time, name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if waiting := to[name]; waiting != nil {
		waiting <- time.Now()
		delete(to, name)
	}
}

func (w *podWatch) expect(to map[string]chan time.Time, name string) <-chan time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	waiting := make(chan time.Time, 1)
	to[name] = waiting
	return waiting
}

// workload is a pod that answers on port 8080 and echoes on 8081.
func workload(name, node string, labels map[string]string) *corev1.Pod {
	all := map[string]string{"bench": node}
	maps.Copy(all, labels)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: all},
		Spec: corev1.PodSpec{
			NodeSelector: map[string]string{corev1.LabelHostname: node},
			Containers:   []corev1.Container{{Name: "main", Image: image, ImagePullPolicy: corev1.PullNever}},
		},
	}
}

// start creates a pod and returns how long it took to be Ready.
func (b *bench) start(ctx context.Context, pod *corev1.Pod) (time.Duration, error) {
	ready := b.pods.expect(b.pods.ready, pod.Name)
	begun := time.Now()
	if _, err := b.api.CoreV1().Pods(namespace).Create(ctx, pod, metav1.CreateOptions{}); err != nil {
		return 0, err
	}
	return wait(ctx, ready, begun, "pod "+pod.Name+" to be Ready")
}

// end deletes a pod with the usual grace period and returns how long it took to be
// gone.
func (b *bench) end(ctx context.Context, name string) (time.Duration, error) {
	gone := b.pods.expect(b.pods.gone, name)
	begun := time.Now()
	if err := b.api.CoreV1().Pods(namespace).Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
		return 0, err
	}
	return wait(ctx, gone, begun, "pod "+name+" to be gone")
}

func wait(ctx context.Context, event <-chan time.Time, begun time.Time, what string) (time.Duration, error) {
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(podLimit):
		return 0, fmt.Errorf("waited %s for %s", podLimit, what)
	case at := <-event:
		return at.Sub(begun), nil
	}
}

// single measures pods one at a time, from creation to deletion. The first of each side
// is not counted, because it reads the image's files.
func (b *bench) single(ctx context.Context) error {
	for round := range b.samples + 1 {
		for _, s := range b.turns(round) {
			pod := workload(fmt.Sprintf("single-%s-%d", s.name, round), s.node, nil)
			took, err := b.start(ctx, pod)
			if err != nil {
				return err
			}
			if err := pause(ctx, 0); err != nil {
				return err
			}
			ended, err := b.end(ctx, pod.Name)
			if err != nil {
				return err
			}
			if round > 0 {
				s.start, s.deletion = append(s.start, took), append(s.deletion, ended)
			}
			if err := pause(ctx, 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// bursts starts many pods at once.
func (b *bench) bursts(ctx context.Context) error {
	for round := range b.rounds {
		for _, s := range b.turns(round) {
			names := make([]string, b.burst)
			for i := range names {
				names[i] = fmt.Sprintf("burst-%s-%d-%d", s.name, round, i)
			}
			took, err := each(names, func(name string) (time.Duration, error) {
				return b.start(ctx, workload(name, s.node, nil))
			})
			if err != nil {
				return err
			}
			s.burst = append(s.burst, took...)
			if _, err := each(names, func(name string) (time.Duration, error) { return b.end(ctx, name) }); err != nil {
				return err
			}
			if err := pause(ctx, 2*time.Second); err != nil {
				return err
			}
		}
	}
	return nil
}

// each calls a function for all names at once.
func each(names []string, do func(name string) (time.Duration, error)) ([]time.Duration, error) {
	took, failed := make([]time.Duration, len(names)), make([]error, len(names))
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() { took[i], failed[i] = do(name) })
	}
	all.Wait()
	return took, errors.Join(failed...)
}

// quantile returns a quantile of samples, 0 to 1, by nearest rank.
func quantile(samples []time.Duration, q float64) time.Duration {
	if len(samples) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(samples))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}
