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

// Pods creates a namespace with n running pods that have no controllers.
func (s *Server) Pods(ctx context.Context, namespace string, n int) error {
	_, err := s.Client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
	if ignoreExists(err) != nil {
		return err
	}
	if err := s.waitForServiceAccount(ctx, namespace); err != nil {
		return err
	}
	var creating sync.WaitGroup
	failed := make(chan error, n)
	numbers := make(chan int)
	for range 16 {
		creating.Go(func() {
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
	creating.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// waitForServiceAccount waits for the namespace's default service account, which
// pods need to be admitted.
func (s *Server) waitForServiceAccount(ctx context.Context, namespace string) error {
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
		return ignoreExists(err)
	}
	p.Status, p.ResourceVersion = podStatus(p, i), ""
	_, err = s.Client.CoreV1().Pods(namespace).UpdateStatus(ctx, p, metav1.UpdateOptions{})
	return err
}

// maxChanges bounds the concurrent changes, and writers is the number of their
// connections: a single connection is served by one goroutine at each end.
const (
	maxChanges = 64
	writers    = 4
)

// Churn changes pods that Pods created, at the given rate per second, until ctx
// ends. It returns the number of changes.
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
	slots, start := make(chan struct{}, maxChanges), time.Now()
	for i := 0; ; {
		select {
		case <-ctx.Done():
			sending.Wait()
			return int(changed.Load()), nil
		case <-ticker.C:
		}
		// A ticker drops missed ticks. Send all changes that are due, and do not wait
		// for one before sending the next.
		for due := int(time.Since(start).Seconds() * float64(rate)); i < due && ctx.Err() == nil; i++ {
			turn := i
			slots <- struct{}{}
			sending.Go(func() {
				change(turn)
				<-slots
			})
		}
	}
}

// writers returns clients with low overhead for the server and this process:
// they use protobuf, and each has its own connection.
func (s *Server) writers() ([]*kubernetes.Clientset, error) {
	var clients []*kubernetes.Clientset
	for range writers {
		config := rest.CopyConfig(s.Config)
		config.ContentType = runtime.ContentTypeProtobuf
		config.Dial = new(net.Dialer).DialContext // client-go does not share transports between different dialers
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			return nil, err
		}
		clients = append(clients, client)
	}
	return clients, nil
}
