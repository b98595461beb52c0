package dns

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"

	"github.com/skiff-dev/skiff/internal/names"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// The Service that every pod's resolver queries. Its traffic stays on the node
// (internalTrafficPolicy: Local), so each node's server answers the node's own pods.
const (
	namespace = metav1.NamespaceSystem
	service   = names.DNSService
)

// endpointSlice returns the slice that tells whether the node's server answers. The
// Node object owns it, so it disappears with the node.
func endpointSlice(node nodeconfig.Node, owner types.UID, ready bool) *discoveryv1.EndpointSlice {
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace,
			Name:      service + "-" + node.Name,
			Labels: map[string]string{
				discoveryv1.LabelServiceName: service,
				discoveryv1.LabelManagedBy:   names.DNSManager,
			},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: node.Name, UID: owner}},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints: []discoveryv1.Endpoint{{
			Addresses:  []string{node.Network.Address.Addr().String()},
			NodeName:   ptr.To(node.Name),
			Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(ready), Serving: ptr.To(ready), Terminating: ptr.To(false)},
		}},
		Ports: []discoveryv1.EndpointPort{
			{Name: ptr.To("dns"), Protocol: ptr.To(corev1.ProtocolUDP), Port: ptr.To[int32](port)},
			{Name: ptr.To("dns-tcp"), Protocol: ptr.To(corev1.ProtocolTCP), Port: ptr.To[int32](port)},
		},
	}
}

// publish makes the slice in the API equal to want.
func publish(ctx context.Context, api kubernetes.Interface, want *discoveryv1.EndpointSlice) error {
	slices := api.DiscoveryV1().EndpointSlices(want.Namespace)
	got, err := slices.Get(ctx, want.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		if _, err := slices.Create(ctx, want, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("create EndpointSlice %s: %w", want.Name, err)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("get EndpointSlice %s: %w", want.Name, err)
	}
	if same(got, want) {
		return nil
	}
	updated := got.DeepCopy()
	updated.Labels, updated.OwnerReferences = want.Labels, want.OwnerReferences
	updated.Endpoints, updated.Ports = want.Endpoints, want.Ports
	if _, err := slices.Update(ctx, updated, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("update EndpointSlice %s: %w", want.Name, err)
	}
	return nil
}

func same(a, b *discoveryv1.EndpointSlice) bool {
	return equality.Semantic.DeepEqual(a.Labels, b.Labels) &&
		equality.Semantic.DeepEqual(a.OwnerReferences, b.OwnerReferences) &&
		equality.Semantic.DeepEqual(a.Endpoints, b.Endpoints) &&
		equality.Semantic.DeepEqual(a.Ports, b.Ports)
}
