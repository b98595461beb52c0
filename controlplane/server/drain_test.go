package server_test

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
)

// drain drains control plane i while a client writes through it. Every request is
// answered; only then are connections refused. Its etcd member remains a voter.
func (f *fleet) drain(t *testing.T, i, members int) {
	t.Helper()
	c := f.all[i]
	refused := make(chan error, 1)
	go func() {
		for n := 0; ; n++ {
			m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("drained-%d-%d", i, n)}}
			if _, err := c.client.CoreV1().ConfigMaps("default").Create(t.Context(), m, metav1.CreateOptions{}); err != nil {
				refused <- err
				return
			}
		}
	}()
	time.Sleep(200 * time.Millisecond)
	began := time.Now()
	for range 2 { // repeated after an interruption
		if err := c.control().Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("control plane %d drained in %s", i+1, time.Since(began).Round(time.Millisecond))
	if err := <-refused; !utilnet.IsConnectionRefused(err) {
		t.Errorf("a write through a draining control plane: %v", err)
	}
	f.voters(t, i, members)
	select {
	case err := <-c.ended:
		t.Errorf("it ended: %v", err)
	default:
	}
}
