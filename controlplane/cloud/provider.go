package cloud

import (
	"context"
	"errors"
	"strings"

	corev1 "k8s.io/api/core/v1"
	cloudprovider "k8s.io/cloud-provider"
	cloudproviderapi "k8s.io/cloud-provider/api"

	"github.com/skiff-dev/skiff/controlplane/cloud/cloudapi"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// NewProvider returns upstream's interface to the cluster's cloud.
func NewProvider(cloud *cloudapi.Client) cloudprovider.Interface { return &provider{cloud} }

type provider struct{ cloud *cloudapi.Client }

var (
	_ cloudprovider.Interface    = (*provider)(nil)
	_ cloudprovider.InstancesV2  = (*provider)(nil)
	_ cloudprovider.LoadBalancer = (*provider)(nil)
)

// ProviderName implements cloudprovider.Interface.
func (p *provider) ProviderName() string { return cloudapi.Scheme }

// Initialize implements cloudprovider.Interface. There is nothing to do.
func (p *provider) Initialize(cloudprovider.ControllerClientBuilder, <-chan struct{}) {}

// InstancesV2 implements cloudprovider.Interface.
func (p *provider) InstancesV2() (cloudprovider.InstancesV2, bool) { return p, true }

// LoadBalancer implements cloudprovider.Interface.
func (p *provider) LoadBalancer() (cloudprovider.LoadBalancer, bool) { return p, true }

// Instances implements cloudprovider.Interface. InstancesV2 replaces it.
func (p *provider) Instances() (cloudprovider.Instances, bool) { return nil, false }

// Zones implements cloudprovider.Interface. InstancesV2 replaces it.
func (p *provider) Zones() (cloudprovider.Zones, bool) { return nil, false }

// Clusters implements cloudprovider.Interface.
func (p *provider) Clusters() (cloudprovider.Clusters, bool) { return nil, false }

// Routes implements cloudprovider.Interface. Node agents make the routes.
func (p *provider) Routes() (cloudprovider.Routes, bool) { return nil, false }

// HasClusterID implements cloudprovider.Interface.
func (p *provider) HasClusterID() bool { return true }

// InstanceExists implements cloudprovider.InstancesV2. The nodes of others, such as
// simulated ones, are not the cloud's to delete.
func (p *provider) InstanceExists(ctx context.Context, node *corev1.Node) (bool, error) {
	if !p.owns(node) {
		return true, nil
	}
	_, err := p.cloud.Instance(ctx, node.Name)
	if errors.Is(err, cloudapi.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// InstanceShutdown implements cloudprovider.InstancesV2.
func (p *provider) InstanceShutdown(ctx context.Context, node *corev1.Node) (bool, error) {
	if !p.owns(node) {
		return false, nil
	}
	instance, err := p.cloud.Instance(ctx, node.Name)
	return instance.Shutdown, err
}

// InstanceMetadata implements cloudprovider.InstancesV2. For a node of another cloud
// it returns nothing that would change it: upstream skips an uninitialized node
// without metadata, and one that is initialized without addresses.
func (p *provider) InstanceMetadata(ctx context.Context, node *corev1.Node) (*cloudprovider.InstanceMetadata, error) {
	if !p.owns(node) {
		if uninitialized(node) {
			return nil, nil
		}
		return &cloudprovider.InstanceMetadata{}, nil
	}
	instance, err := p.cloud.Instance(ctx, node.Name)
	if err != nil {
		return nil, err
	}
	addresses := []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: instance.Address.String()}}
	if instance.Address6.IsValid() {
		addresses = append(addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: instance.Address6.String()})
	}
	return &cloudprovider.InstanceMetadata{
		ProviderID: instance.ProviderID, InstanceType: instance.Type, Zone: instance.Zone, Region: instance.Region,
		NodeAddresses: append(addresses, corev1.NodeAddress{Type: corev1.NodeHostName, Address: instance.Name}),
	}, nil
}

// owns reports whether a node is one that the host made and has no other provider's ID.
func (p *provider) owns(node *corev1.Node) bool {
	return nodeconfig.MadeByHost(node.Name, node.Labels) && (node.Spec.ProviderID == "" || strings.HasPrefix(node.Spec.ProviderID, cloudapi.Scheme+"://"))
}

// uninitialized reports whether a node waits for the cloud node controller.
func uninitialized(node *corev1.Node) bool {
	for _, taint := range node.Spec.Taints {
		if taint.Key == cloudproviderapi.TaintExternalCloudProvider {
			return true
		}
	}
	return false
}
