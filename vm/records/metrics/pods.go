package metrics

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/vm/records/metrics/target"
)

// backoff between attempts to reach the API.
var backoff = wait.Backoff{Duration: 500 * time.Millisecond, Factor: 2, Jitter: 0.5, Cap: 15 * time.Second, Steps: 10}

// pods is a copy of what is recorded of the cluster's pods. It stays as it is while the API
// cannot be reached.
type pods struct {
	mu     sync.Mutex // guards byName
	byName map[types.NamespacedName]target.Pod
}

var _ cache.ReflectorStore = (*pods)(nil)

// all returns the pods in the order of their names.
func (p *pods) all() []target.Pod {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.SortedFunc(maps.Values(p.byName), func(a, b target.Pod) int {
		if byNamespace := strings.Compare(a.Namespace, b.Namespace); byNamespace != 0 {
			return byNamespace
		}
		return strings.Compare(a.Name, b.Name)
	})
}

// follow watches the pods until ctx ends, as long as they are wanted.
func (p *pods) follow(ctx context.Context, client kubernetes.Interface, wanted func() bool) {
	for !wanted() {
		if pause.For(ctx, Period) != nil {
			return
		}
	}
	from := client.CoreV1().Pods("")
	list := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			return from.List(ctx, options)
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			return from.Watch(ctx, options)
		},
	}
	again := backoff
	silent := logr.Discard()
	reflector := cache.NewReflectorWithOptions(cache.ToListWatcherWithWatchListSemantics(list, client), &corev1.Pod{}, p,
		cache.ReflectorOptions{Name: "pods for metrics", Backoff: &again, Logger: &silent})
	reflector.RunWithContext(klog.NewContext(ctx, silent))
}

// Add stores a pod.
func (p *pods) Add(object any) error { return p.Update(object) }

// Update stores a pod.
func (p *pods) Update(object any) error {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return fmt.Errorf("unexpected object of type %T", object)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byName == nil {
		p.byName = map[types.NamespacedName]target.Pod{}
	}
	p.byName[types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}] = reduced(pod)
	return nil
}

// Delete removes a pod.
func (p *pods) Delete(object any) error {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return fmt.Errorf("unexpected object of type %T", object)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.byName, types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name})
	return nil
}

// Replace stores these pods only.
func (p *pods) Replace(list []any, _ string) error {
	byName := make(map[types.NamespacedName]target.Pod, len(list))
	for _, item := range list {
		pod, ok := item.(*corev1.Pod)
		if !ok {
			return fmt.Errorf("unexpected object of type %T", item)
		}
		byName[types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}] = reduced(pod)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.byName = byName
	return nil
}

// Resync does nothing, because there are no event handlers.
func (p *pods) Resync() error { return nil }

// reduced returns what is used of a pod: a cluster may have thousands.
func reduced(pod *corev1.Pod) target.Pod {
	p := target.Pod{
		Namespace: strings.Clone(pod.Namespace), Name: strings.Clone(pod.Name), Node: strings.Clone(pod.Spec.NodeName),
		Phase: string(pod.Status.Phase), Annotations: map[string]string{},
	}
	p.Address, _ = netip.ParseAddr(pod.Status.PodIP)
	for _, name := range []string{target.AnnotationScrape, target.AnnotationPort, target.AnnotationPath, target.AnnotationScheme} {
		if value, ok := pod.Annotations[name]; ok {
			p.Annotations[name] = strings.Clone(value)
		}
	}
	for _, c := range pod.Spec.Containers {
		p.Containers = append(p.Containers, reducedContainer(c, pod.Status.ContainerStatuses))
	}
	return p
}

func reducedContainer(c corev1.Container, statuses []corev1.ContainerStatus) target.Container {
	of := target.Container{Name: strings.Clone(c.Name), Requests: amounts(c.Resources.Requests), Limits: amounts(c.Resources.Limits)}
	for _, port := range c.Ports {
		if port.Protocol == corev1.ProtocolTCP || port.Protocol == "" {
			of.Ports = append(of.Ports, target.Port{Name: strings.Clone(port.Name), Number: uint16(port.ContainerPort)}) //nolint:gosec // the API validates ports
		}
	}
	for _, status := range statuses {
		if status.Name != c.Name {
			continue
		}
		of.Restarts, of.Ready = int(status.RestartCount), status.Ready
		if ended := status.LastTerminationState.Terminated; ended != nil {
			of.LastTerminated = strings.Clone(ended.Reason)
		}
		if waiting := status.State.Waiting; waiting != nil {
			of.WaitingFor = strings.Clone(waiting.Reason)
		}
	}
	return of
}

// amounts returns CPU in cores and memory in bytes.
func amounts(list corev1.ResourceList) map[string]float64 {
	var all map[string]float64
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		if quantity, ok := list[name]; ok {
			if all == nil {
				all = map[string]float64{}
			}
			all[string(name)] = quantity.AsApproximateFloat64()
		}
	}
	return all
}
