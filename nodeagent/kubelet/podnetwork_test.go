package kubelet

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	internalapi "k8s.io/cri-api/pkg/apis"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	upstream "k8s.io/kubernetes/pkg/kubelet"
	"k8s.io/kubernetes/pkg/util/oom"
)

// runtimeService is a container runtime that has a network from a point in time on.
type runtimeService struct {
	internalapi.RuntimeService
	from time.Time
}

func (r runtimeService) Status(context.Context, bool) (*runtimeapi.StatusResponse, error) {
	return &runtimeapi.StatusResponse{Status: &runtimeapi.RuntimeStatus{Conditions: []*runtimeapi.RuntimeCondition{
		{Type: runtimeapi.RuntimeReady, Status: true},
		{Type: runtimeapi.NetworkReady, Status: !time.Now().Before(r.from)},
	}}}, nil
}

func TestTheFirstStatusWaitsForThePodNetwork(t *testing.T) {
	const never = time.Hour
	for _, test := range []struct {
		name       string
		known      time.Duration // when it is known whether there is a configuration
		configured bool
		network    time.Duration // when the runtime has its network
		took       time.Duration
		ready      bool
	}{
		{"a node that starts again", 200 * time.Millisecond, true, 230 * time.Millisecond, 230 * time.Millisecond, true},
		{"a node that is faster than that", 0, true, 0, 0, true},
		{"the kubelet need not wait", 100 * time.Millisecond, false, never, 100 * time.Millisecond, false},
		{"the runtime does not use the configuration", time.Second, true, never, networkLimit, false},
		{"nothing is known of the network", never, false, never, networkLimit, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				dependencies := &upstream.Dependencies{OOMAdjuster: &oom.OOMAdjuster{
					ApplyOOMScoreAdj: func(_, _ int) error { return nil },
				}}
				awaitNetwork(dependencies, func(ctx context.Context) bool {
					select {
					case <-ctx.Done():
						return false
					case <-time.After(test.known):
						return test.configured
					}
				})
				dependencies.RemoteRuntimeService = runtimeService{from: begun.Add(test.network)}
				if err := dependencies.OOMAdjuster.ApplyOOMScoreAdj(0, -999); err != nil {
					t.Fatal(err)
				}
				for i, want := range []time.Duration{test.took, 0} {
					begun := time.Now()
					status, err := dependencies.RemoteRuntimeService.Status(t.Context(), false)
					if err != nil {
						t.Fatal(err)
					}
					if took := time.Since(begun); took != want || networkReady(status) != test.ready {
						t.Errorf("status %d: network ready %v after %s, want %v after %s", i+1, networkReady(status), took, test.ready, want)
					}
				}
			})
		})
	}
}

func TestOnlyNodesThatWereReadyWaitForTheirNetwork(t *testing.T) {
	node := func(status corev1.ConditionStatus) *corev1.Node {
		return &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: "worker-1"},
			Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{
				{Type: corev1.NodeMemoryPressure, Status: corev1.ConditionTrue}, {Type: corev1.NodeReady, Status: status},
			}},
		}
	}
	for _, test := range []struct {
		name string
		set  kubernetes.Interface
		want bool
	}{
		{"a new node", fake.NewClientset(), false},
		{"a node that was Ready", fake.NewClientset(node(corev1.ConditionTrue)), true},
		{"a node that was not Ready", fake.NewClientset(node(corev1.ConditionFalse)), false},
		{"a node that was lost", fake.NewClientset(node(corev1.ConditionUnknown)), false},
	} {
		if got := nodeReady(t.Context(), test.set, "worker-1"); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

// The client of the container runtime must exist when the kubelet sets its OOM score, and be
// used only after it.
func TestUpstreamSetsItsScoreBetweenMakingAndUsingTheRuntimesClient(t *testing.T) {
	names := []string{"PreInitRuntimeService", "ApplyOOMScoreAdj", "RunKubelet"}
	if calls := callsIn(t, "k8s.io/kubernetes/cmd/kubelet/app", "server.go", "run", names...); !slices.Equal(calls, names) {
		t.Errorf("upstream's run calls %q, not %q", calls, names)
	}
}
