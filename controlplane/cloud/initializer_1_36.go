//go:build !kubernetes_before_1_36

package cloud

import (
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	cloudprovider "k8s.io/cloud-provider"
	"k8s.io/cloud-provider/controllers/node"
)

func newInitializer(nodes coreinformers.NodeInformer, client kubernetes.Interface, provider cloudprovider.Interface) (*node.CloudNodeController, error) {
	return node.NewCloudNodeController(nodes, client, provider, addressPeriod, nodeWorkers, nodeWorkers)
}
