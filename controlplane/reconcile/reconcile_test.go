package reconcile_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/skiff-dev/skiff/controlplane/reconcile"
)

func TestUnsettledObjectsAreTriedAgain(t *testing.T) {
	client := fake.NewClientset(
		&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "wanted"}},
		&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "settled"}},
	)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var mu sync.Mutex
	calls := map[string]int{}
	err := reconcile.Run(ctx, reconcile.Settings{
		Kind:     "node",
		Informer: informers.NewSharedInformerFactory(client, 0).Core().V1().Nodes().Informer(),
		Needs:    func(o metav1.Object) bool { return o.GetName() == "wanted" },
		Settle: func(_ context.Context, name string) (bool, error) {
			mu.Lock()
			defer mu.Unlock()
			switch calls[name]++; calls[name] {
			case 1:
				return true, errors.New("not yet")
			case 2:
				return false, nil
			default:
				cancel()
				return true, nil
			}
		},
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil || calls["wanted"] != 3 || len(calls) != 1 {
		t.Errorf("%v, %v", calls, err)
	}
}
