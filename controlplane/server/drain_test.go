package server_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
)

// drain has control plane i serve nobody while a client writes through it alone.
// All that it was asked is answered; only then is it not to be reached. Its member
// keeps its vote.
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
	for range 2 { // interrupted and asked again
		if err := c.settings.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("control plane %d drained in %s", i+1, time.Since(began).Round(time.Millisecond))
	if err := <-refused; !utilnet.IsConnectionRefused(err) {
		t.Errorf("a write through a control plane that drains: %v", err)
	}
	f.voters(t, i, members)
	if left, err := filepath.Glob(filepath.Join(c.dir, "drain")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	select {
	case err := <-c.ended:
		t.Errorf("it ended: %v", err)
	default:
	}
}

// drainedBefore leaves the file of a draining behind that nobody came to.
func (f *fleet) drainedBefore(t *testing.T, i int) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(f.all[i].dir, "drain"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}
