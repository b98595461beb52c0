//go:build kubernetes_before_1_37

package cloud

import (
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	cloudprovider "k8s.io/cloud-provider"
	"k8s.io/cloud-provider/controllers/nodelifecycle"
)

func newLifecycleController(nodes coreinformers.NodeInformer, client kubernetes.Interface, provider cloudprovider.Interface) (*nodelifecycle.CloudNodeLifecycleController, error) {
	return nodelifecycle.NewCloudNodeLifecycleController(nodes, client, provider, monitorPeriod)
}
