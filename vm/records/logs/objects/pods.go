// Package objects follows what the Kubernetes API knows about the origin of logs: the
// labels of pods, and events, which are logs of their own.
package objects

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"

	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/vm/records/logs/entry"
)

const (
	// maxPods is how many pods are remembered, deleted ones included.
	maxPods = 20_000
	// retryAfter is the pause between two attempts to follow objects.
	retryAfter = time.Second
)

// Pods are the labels of pods, those of deleted ones too for as long as there is room.
type Pods struct {
	mu      sync.Mutex // guards the fields below
	labels  map[string][]entry.Field
	changed chan struct{} // closed when labels changes
}

// NewPods returns Pods that know none.
func NewPods() *Pods { return &Pods{labels: map[string][]entry.Field{}, changed: make(chan struct{})} }

// Labels returns the labels of the pod with the given UID. If they are not known, it
// waits for them.
func (p *Pods) Labels(ctx context.Context, uid string, wait time.Duration) ([]entry.Field, bool) {
	late := time.NewTimer(wait)
	defer late.Stop()
	for {
		p.mu.Lock()
		labels, ok := p.labels[uid]
		changed := p.changed
		p.mu.Unlock()
		if ok || wait <= 0 {
			return labels, ok
		}
		select {
		case <-changed:
		case <-late.C:
			return nil, false
		case <-ctx.Done():
			return nil, false
		}
	}
}

// Follow watches pods until ctx or the watch ends.
func (p *Pods) Follow(ctx context.Context, client metadata.Interface) error {
	// Without a resource version it begins with those that exist.
	w, err := client.Resource(corev1.SchemeGroupVersion.WithResource("pods")).Watch(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("watch the labels of pods: %w", err)
	}
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case event, open := <-w.ResultChan():
			if !open {
				return nil
			}
			pod, ok := event.Object.(metav1.Object)
			if !ok || event.Type == watch.Error {
				return fmt.Errorf("watch the labels of pods: %w", apierrors.FromObject(event.Object))
			}
			p.set(string(pod.GetUID()), pod.GetLabels())
		}
	}
}

func (p *Pods) set(uid string, labels map[string]string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.labels) >= maxPods {
		clear(p.labels) // the next watch brings back those that exist
	}
	p.labels[uid] = entry.Labels(labels)
	close(p.changed)
	p.changed = make(chan struct{})
}

// Retry runs follow again whenever it ends, until ctx ends.
func Retry(ctx context.Context, log *slog.Logger, follow func(context.Context) error) {
	warned := ""
	for ctx.Err() == nil {
		err := follow(ctx)
		if err != nil && err.Error() != warned && ctx.Err() == nil {
			warned = err.Error()
			log.Info("cannot follow objects for the log store, retrying", "error", err)
		}
		if err == nil {
			warned = ""
		}
		_ = pause.For(ctx, retryAfter)
	}
}
