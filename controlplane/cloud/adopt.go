package cloud

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/wait"
	cloudproviderapi "k8s.io/cloud-provider/api"
	"k8s.io/cloud-provider/node/helpers"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// adopt taints nodes that registered when the cluster had no cloud, with an earlier
// release, so that the cloud node controller initializes them like new ones. A node
// that registers later has the taint already.
func (m *controllerManager) adopt(ctx context.Context) {
	taint := &corev1.Taint{Key: cloudproviderapi.TaintExternalCloudProvider, Value: "true", Effect: corev1.TaintEffectNoSchedule}
	// The error can only be the end of ctx.
	_ = wait.PollUntilContextCancel(ctx, retryPeriod, true, func(context.Context) (bool, error) {
		nodes, failed := m.informers.Core().V1().Nodes().Lister().List(labels.Everything())
		for _, node := range nodes {
			if unadopted(node) {
				failed = errors.Join(failed, helpers.AddOrUpdateTaintOnNode(m.client, node.Name, taint))
			}
		}
		if failed != nil {
			m.settings.Log.Warn("cannot taint nodes of an earlier release for the cloud to initialize, trying again", "error", failed)
		}
		return failed == nil, nil
	})
}

// unadopted reports whether the host made a node that the cloud has not initialized
// and that does not have the taint yet.
func unadopted(node *corev1.Node) bool {
	return nodeconfig.MadeByHost(node.Name, node.Labels) && node.Spec.ProviderID == "" && !uninitialized(node)
}
