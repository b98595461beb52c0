package catalog

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// strip removes the fields that no user of the catalog reads, because a cluster may
// have thousands of objects. It owns the object.
func strip(object metav1.Object) {
	object.SetManagedFields(nil)
	object.SetOwnerReferences(nil)
	object.SetFinalizers(nil)
	object.SetGenerateName("")
	delete(object.GetAnnotations(), corev1.LastAppliedConfigAnnotation)
	switch o := object.(type) {
	case *corev1.Service:
		o.Status.Conditions = nil
	case *discoveryv1.EndpointSlice:
		o.Annotations = nil
		o.Labels = map[string]string{discoveryv1.LabelServiceName: o.Labels[discoveryv1.LabelServiceName]}
		for i, e := range o.Endpoints {
			o.Endpoints[i] = discoveryv1.Endpoint{Addresses: e.Addresses, Conditions: e.Conditions, NodeName: e.NodeName}
		}
	case *corev1.Namespace:
		o.Annotations = nil
	case *corev1.Node:
		stripNode(o)
	}
}

// stripNode leaves addresses, ranges of pods and the Ready condition.
func stripNode(n *corev1.Node) {
	n.Annotations = nil
	n.Spec = corev1.NodeSpec{PodCIDR: n.Spec.PodCIDR, PodCIDRs: n.Spec.PodCIDRs, Unschedulable: n.Spec.Unschedulable}
	status := corev1.NodeStatus{Addresses: n.Status.Addresses}
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			status.Conditions = []corev1.NodeCondition{{Type: c.Type, Status: c.Status}}
		}
	}
	n.Status = status
}
