package cloud

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	cloudprovider "k8s.io/cloud-provider"
	"k8s.io/cloud-provider/controllers/nodelifecycle"
	"k8s.io/component-base/metrics/prometheus/controllers"
	nodeutil "k8s.io/component-helpers/node/util"

	"github.com/skiff-dev/skiff/internal/wakeup"
)

// lifecycle runs upstream's node lifecycle controller, which checks all nodes once
// when it starts and then at a long interval. lifecycle restarts it whenever a node's
// readiness changes, so that a lost machine is noticed before the interval is over.
type lifecycle struct {
	controller *nodelifecycle.CloudNodeLifecycleController
	changed    wakeup.Signal // sent when a node's readiness has changed
}

func newLifecycle(nodes coreinformers.NodeInformer, client kubernetes.Interface, provider cloudprovider.Interface) (*lifecycle, error) {
	controller, err := newLifecycleController(nodes, client, provider)
	if err != nil {
		return nil, fmt.Errorf("make the cloud node lifecycle controller: %w", err)
	}
	l := &lifecycle{controller: controller, changed: wakeup.New()}
	if _, err := nodes.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(object any) { l.notice(nil, object) }, UpdateFunc: l.notice,
	}); err != nil {
		return nil, fmt.Errorf("watch nodes: %w", err)
	}
	return l, nil
}

// notice asks for a check if a node's readiness has changed. A new node is not Ready.
func (l *lifecycle) notice(old, current any) {
	before := corev1.ConditionTrue
	if node, ok := old.(*corev1.Node); ok {
		before = readiness(node)
	}
	node, ok := current.(*corev1.Node)
	if !ok || readiness(node) == before {
		return
	}
	l.changed.Send()
}

func (l *lifecycle) run(ctx context.Context, metrics *controllers.ControllerManagerMetrics) {
	for ctx.Err() == nil {
		checking, stop := context.WithCancel(ctx)
		var running sync.WaitGroup
		running.Go(func() { l.controller.Run(checking, metrics) })
		select {
		case <-ctx.Done():
		case <-l.changed:
		}
		stop()
		running.Wait()
	}
}

// readiness returns the status of a node's Ready condition.
func readiness(node *corev1.Node) corev1.ConditionStatus {
	if _, condition := nodeutil.GetNodeCondition(&node.Status, corev1.NodeReady); condition != nil {
		return condition.Status
	}
	return corev1.ConditionUnknown
}
