package kubelet

import (
	"context"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	internalapi "k8s.io/cri-api/pkg/apis"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	upstream "k8s.io/kubernetes/pkg/kubelet"
)

const (
	// networkLimit is the period in which the kubelet asks for the container runtime's
	// status. After that it asks again anyway.
	networkLimit = 5 * time.Second
	// networkPeriod is the time between two questions to the container runtime, which
	// reads a new configuration of its network at once.
	networkPeriod = 10 * time.Millisecond
)

// awaitNetwork makes the kubelet with these dependencies wait for the pod network before it
// asks for the container runtime's status for the first time. configured waits until it is
// known whether the runtime gets a configuration of the network, and returns that; false if
// the kubelet need not wait.
//
// While a node has no network, upstream looks for it every 100 ms, but only until the node
// is Ready, and in the Node object of a node that starts again it still is. If such a
// kubelet is faster than the network, it reports that the node is not ready, and looks again
// five seconds later.
//
// Upstream makes the client of the runtime and uses it after it has set its own OOM score:
// that is where it is wrapped, as in awaitMounts.
func awaitNetwork(dependencies *upstream.Dependencies, configured func(context.Context) bool) {
	adjust := dependencies.OOMAdjuster.ApplyOOMScoreAdj
	var once sync.Once
	dependencies.OOMAdjuster.ApplyOOMScoreAdj = func(pid, score int) error {
		once.Do(func() {
			dependencies.RemoteRuntimeService = &networkAwaiting{RuntimeService: dependencies.RemoteRuntimeService, configured: configured}
		})
		return adjust(pid, score)
	}
}

// networkAwaiting is a container runtime whose first status waits for the pod network.
type networkAwaiting struct {
	internalapi.RuntimeService
	configured func(context.Context) bool
	once       sync.Once
}

func (r *networkAwaiting) Status(ctx context.Context, verbose bool) (*runtimeapi.StatusResponse, error) {
	r.once.Do(func() { r.await(ctx) })
	return r.RuntimeService.Status(ctx, verbose)
}

// await returns once the network is ready, will not become so soon, or after networkLimit.
func (r *networkAwaiting) await(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, networkLimit)
	defer cancel()
	if !r.configured(ctx) {
		return
	}
	for {
		status, err := r.RuntimeService.Status(ctx, false)
		if err != nil || networkReady(status) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(networkPeriod):
		}
	}
}

// isReady reports whether the node is Ready by its object, which may be from its last start.
func (k Kubelet) isReady(ctx context.Context) bool {
	config := k.Paths.Identity().Config()
	config.Timeout = networkLimit
	api, err := kubernetes.NewForConfig(config)
	return err == nil && nodeReady(ctx, api, k.Node.Name)
}

func nodeReady(ctx context.Context, api kubernetes.Interface, name string) bool {
	node, err := api.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	return err == nil && slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}

func networkReady(status *runtimeapi.StatusResponse) bool {
	for _, condition := range status.GetStatus().GetConditions() {
		if condition.GetType() == runtimeapi.NetworkReady {
			return condition.GetStatus()
		}
	}
	return false
}
