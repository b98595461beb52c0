package rig

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// Pods makes n running pods in a namespace of their own, without controllers.
func (s *Server) Pods(ctx context.Context, namespace string, n int) error {
	_, err := s.Client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
	if ignore(err) != nil {
		return err
	}
	if err := s.account(ctx, namespace); err != nil {
		return err
	}
	var made sync.WaitGroup
	failed := make(chan error, n)
	numbers := make(chan int)
	for range 16 {
		made.Go(func() {
			for i := range numbers {
				if err := s.pod(ctx, namespace, i); err != nil {
					failed <- err
				}
			}
		})
	}
	for i := range n {
		numbers <- i
	}
	close(numbers)
	made.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// account waits for the namespace's service account, without which no pod is
// admitted.
func (s *Server) account(ctx context.Context, namespace string) error {
	for {
		_, err := s.Client.CoreV1().ServiceAccounts(namespace).Get(ctx, "default", metav1.GetOptions{})
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (s *Server) pod(ctx context.Context, namespace string, i int) error {
	name := fmt.Sprintf("load-%04d", i)
	t := template("load", "", "app")
	t.Labels["shard"] = strconv.Itoa(i % 50)
	t.Spec.NodeName = Nodes[i%len(Nodes)]
	p, err := s.Client.CoreV1().Pods(namespace).Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: t.Labels}, Spec: t.Spec}, metav1.CreateOptions{})
	if err != nil {
		return ignore(err)
	}
	p.Status, p.ResourceVersion = podStatus(p, i), ""
	_, err = s.Client.CoreV1().Pods(namespace).UpdateStatus(ctx, p, metav1.UpdateOptions{})
	return err
}

// maxChanges is how many changes are on their way at once, over so many
// connections: one alone is read and written by one goroutine at each end.
const (
	maxChanges = 64
	writers    = 4
)

// Churn changes pods of a namespace that Pods made, rate of them a second,
// until ctx ends; it returns how many it changed.
func (s *Server) Churn(ctx context.Context, namespace string, n, rate int) (int, error) {
	clients, err := s.writers()
	if err != nil {
		return 0, err
	}
	var changed atomic.Int64
	change := func(i int) {
		patch := fmt.Sprintf(`{"metadata":{"labels":{"turn":"t%d"}}}`, i)
		pods := clients[i%len(clients)].CoreV1().Pods(namespace)
		if _, err := pods.Patch(ctx, fmt.Sprintf("load-%04d", i%n), types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err == nil {
			changed.Add(1)
		}
	}
	var sending sync.WaitGroup
	ticker := time.NewTicker(max(time.Second/time.Duration(rate), time.Millisecond))
	defer ticker.Stop()
	slots, begun := make(chan struct{}, maxChanges), time.Now()
	for i := 0; ; {
		select {
		case <-ctx.Done():
			sending.Wait()
			return int(changed.Load()), nil
		case <-ticker.C:
		}
		// A ticker drops the ticks that nobody takes: what is due is sent, however
		// late we are. Changes do not wait for one another.
		for due := int(time.Since(begun).Seconds() * float64(rate)); i < due && ctx.Err() == nil; i++ {
			turn := i
			slots <- struct{}{}
			sending.Go(func() {
				change(turn)
				<-slots
			})
		}
	}
}

// writers are clients that cost the server and this process little: answers are
// in protobuf, over a connection for each.
func (s *Server) writers() ([]*kubernetes.Clientset, error) {
	var clients []*kubernetes.Clientset
	for range writers {
		config := rest.CopyConfig(s.Config)
		config.ContentType = runtime.ContentTypeProtobuf
		config.Dial = new(net.Dialer).DialContext // no transport is shared between different dialers
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			return nil, err
		}
		clients = append(clients, client)
	}
	return clients, nil
}
