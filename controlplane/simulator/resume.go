package simulator

import (
	"context"
	"sync"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
)

// source lists and watches objects of one kind.
type source[L metav1.ListInterface] interface {
	List(context.Context, metav1.ListOptions) (L, error)
	Watch(context.Context, metav1.ListOptions) (watch.Interface, error)
}

// resuming is a source whose watches continue where the last one ended, whatever version the
// options have, and which reads events before they are wanted. kwok v0.8.0 needs both. It
// starts every watch at version 0, that is, with all objects. And it takes one event at a time, so
// that the API server closes its watches as too slow whenever many objects change. Its next
// watch would get all objects again, be too slow for that as well, and be closed again.
type resuming[L metav1.ListInterface] struct {
	source source[L]

	mu       sync.Mutex        // guards versions
	versions map[string]string // the last that a list or an event had, by selectors
}

func resume[L metav1.ListInterface](s source[L]) *resuming[L] {
	return &resuming[L]{source: s}
}

// List implements source.
func (r *resuming[L]) List(ctx context.Context, o metav1.ListOptions) (L, error) {
	list, err := r.source.List(ctx, o)
	if err == nil {
		r.reached(selectors(o), list.GetResourceVersion())
	}
	return list, err
}

// Watch implements source.
func (r *resuming[L]) Watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	of := selectors(o)
	r.mu.Lock()
	if version := r.versions[of]; version != "" {
		o.ResourceVersion = version
	}
	r.mu.Unlock()
	from, err := r.source.Watch(ctx, o)
	if err != nil {
		return nil, err
	}
	q := &queue{from: from, to: make(chan watch.Event), stopped: make(chan struct{})}
	go q.run(func(version string) { r.reached(of, version) })
	return q, nil
}

func (r *resuming[L]) reached(of, version string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.versions == nil {
		r.versions = map[string]string{}
	}
	r.versions[of] = version
}

func selectors(o metav1.ListOptions) string { return o.LabelSelector + "\n" + o.FieldSelector }

// queue is a watch that holds the events of another one until they are read.
type queue struct {
	from    watch.Interface
	to      chan watch.Event
	stop    sync.Once
	stopped chan struct{}
}

// ResultChan implements watch.Interface.
func (q *queue) ResultChan() <-chan watch.Event { return q.to }

// Stop implements watch.Interface.
func (q *queue) Stop() { q.stop.Do(func() { close(q.stopped) }) }

// run returns when the watch has ended and all its events were read, or after Stop. It calls
// reached with the version of each event that was read.
func (q *queue) run(reached func(version string)) {
	defer close(q.to)
	defer q.from.Stop()
	var waiting []watch.Event
	for in := q.from.ResultChan(); in != nil || len(waiting) > 0; {
		var to chan<- watch.Event // nil, which blocks, while there is nothing to send
		var next watch.Event
		if len(waiting) > 0 {
			to, next = q.to, waiting[0]
		}
		select {
		case <-q.stopped:
			return
		case event, more := <-in:
			if !more {
				in = nil
				continue
			}
			waiting = append(waiting, event)
		case to <- next:
			waiting[0] = watch.Event{}
			waiting = waiting[1:]
			if object, err := meta.Accessor(next.Object); err == nil && next.Type != watch.Error {
				reached(object.GetResourceVersion())
			}
		}
	}
}

// client is a client whose lists and watches of what kwok watches are resuming.
type client struct{ kubernetes.Interface }

func (c client) CoreV1() coreclient.CoreV1Interface { return core{c.Interface.CoreV1()} }

func (c client) CoordinationV1() coordinationclient.CoordinationV1Interface {
	return coordination{c.Interface.CoordinationV1()}
}

type core struct{ coreclient.CoreV1Interface }

func (c core) Nodes() coreclient.NodeInterface {
	all := c.CoreV1Interface.Nodes()
	return nodes{all, resume[*corev1.NodeList](all)}
}

func (c core) Pods(namespace string) coreclient.PodInterface {
	all := c.CoreV1Interface.Pods(namespace)
	return pods{all, resume[*corev1.PodList](all)}
}

type coordination struct {
	coordinationclient.CoordinationV1Interface
}

func (c coordination) Leases(namespace string) coordinationclient.LeaseInterface {
	all := c.CoordinationV1Interface.Leases(namespace)
	return leases{all, resume[*coordinationv1.LeaseList](all)}
}

type nodes struct {
	coreclient.NodeInterface
	all *resuming[*corev1.NodeList]
}

func (n nodes) List(ctx context.Context, o metav1.ListOptions) (*corev1.NodeList, error) {
	return n.all.List(ctx, o)
}

func (n nodes) Watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	return n.all.Watch(ctx, o)
}

type pods struct {
	coreclient.PodInterface
	all *resuming[*corev1.PodList]
}

func (p pods) List(ctx context.Context, o metav1.ListOptions) (*corev1.PodList, error) {
	return p.all.List(ctx, o)
}

func (p pods) Watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	return p.all.Watch(ctx, o)
}

type leases struct {
	coordinationclient.LeaseInterface
	all *resuming[*coordinationv1.LeaseList]
}

func (l leases) List(ctx context.Context, o metav1.ListOptions) (*coordinationv1.LeaseList, error) {
	return l.all.List(ctx, o)
}

func (l leases) Watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	return l.all.Watch(ctx, o)
}
