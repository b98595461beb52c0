package main

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestPercentile(t *testing.T) {
	var samples []time.Duration
	for i := 200; i > 0; i-- {
		samples = append(samples, time.Duration(i))
	}
	for _, tt := range []struct {
		samples []time.Duration
		p       int
		want    time.Duration
	}{
		{samples, 50, 100}, {samples, 99, 198}, {samples, 100, 200}, {samples, 0, 1}, {samples[:1], 50, 200},
	} {
		if got := percentile(tt.samples, tt.p); got != tt.want {
			t.Errorf("p%d of %d samples is %d, want %d", tt.p, len(tt.samples), got, tt.want)
		}
	}
}

func TestALoadEndsWhenAllPodsAreReadyOrOneIsDeleted(t *testing.T) {
	const want = 3
	ctx, cancel := context.WithCancelCause(t.Context())
	p := newProgress(want, cancel)
	p.start = time.Now()
	for i := range want {
		select {
		case <-p.done:
			t.Fatalf("done with %d of %d pods", i, want)
		default:
		}
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("pod-%d", i)}, Spec: corev1.PodSpec{NodeName: "node"}}
		p.OnAdd(pod, false)
		running := pod.DeepCopy()
		running.Status.Phase = corev1.PodRunning
		p.OnUpdate(pod, running)
		p.OnUpdate(running, running)
	}
	<-p.done
	if p.bound <= 0 || p.ready < p.bound {
		t.Errorf("scheduled after %s, Ready after %s", p.bound, p.ready)
	}
	p.OnDelete(nil)
	if ctx.Err() != nil {
		t.Errorf("a pod that was deleted afterwards: %v", context.Cause(ctx))
	}
	newProgress(want, cancel).OnDelete(nil)
	if context.Cause(ctx) == nil {
		t.Error("a deleted pod is waited for")
	}
}
