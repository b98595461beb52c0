package main

import (
	"context"
	"fmt"
	"net"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// attempt bounds one attempt to connect, and retry is the pause between attempts.
	attempt = 20 * time.Millisecond
	retry   = time.Millisecond
	// serviceLimit bounds how long a service may take to be reachable.
	serviceLimit = 30 * time.Second
)

// services creates services of a running pod, one at a time, and connects to each from
// the node until that succeeds.
func (b *bench) services(ctx context.Context) error {
	for _, s := range b.sides {
		if _, err := b.start(ctx, workload("server-"+s.name, s.node, map[string]string{"server": s.name})); err != nil {
			return err
		}
	}
	for round := range b.samples + 1 {
		for _, s := range b.turns(round) {
			// Wait longer than any program does between two updates.
			if err := pause(ctx, 1500*time.Millisecond); err != nil {
				return err
			}
			took, err := b.service(ctx, s, fmt.Sprintf("bench-%s-%d", s.name, round))
			if err != nil {
				return err
			}
			if round > 0 {
				s.service = append(s.service, took)
			}
		}
	}
	for _, s := range b.sides {
		if _, err := b.end(ctx, "server-"+s.name); err != nil {
			return err
		}
	}
	return nil
}

// service returns how long it took from a service's creation until it answered.
func (b *bench) service(ctx context.Context, s *side, name string) (time.Duration, error) {
	services := b.api.CoreV1().Services(namespace)
	begun := time.Now()
	made, err := services.Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"server": s.name}, Ports: []corev1.ServicePort{{Port: 8081}}},
	}, metav1.CreateOptions{})
	if err != nil {
		return 0, err
	}
	address := net.JoinHostPort(made.Spec.ClusterIP, "8081")
	var took time.Duration
	err = b.cluster.inside(s.node, func() error {
		for {
			conn, err := (&net.Dialer{Timeout: attempt}).Dial("tcp", address)
			took = time.Since(begun)
			if err == nil {
				return conn.Close()
			}
			if took > serviceLimit || ctx.Err() != nil {
				return fmt.Errorf("reach service %s: %w", name, err)
			}
			time.Sleep(retry)
		}
	})
	if err != nil {
		return 0, err
	}
	return took, services.Delete(ctx, name, metav1.DeleteOptions{})
}
