package network

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
)

// Informers returns informers for the whole cluster. Every node caches it, so they
// keep only those parts of an object that the pod network, the policies and the
// node's registration use.
func Informers(api kubernetes.Interface) informers.SharedInformerFactory {
	return informers.NewSharedInformerFactoryWithOptions(api, 0, informers.WithTransform(trim))
}

func trim(object any) (any, error) {
	if accessor, err := meta.Accessor(object); err == nil {
		accessor.SetManagedFields(nil)
		accessor.SetAnnotations(nil)
		accessor.SetOwnerReferences(nil)
	}
	switch o := object.(type) {
	case *corev1.Node:
		// Package registration needs the capacity to create a deleted Node again.
		o.Status = corev1.NodeStatus{Addresses: o.Status.Addresses, Capacity: o.Status.Capacity, Allocatable: o.Status.Allocatable}
	case *corev1.Pod:
		containers := make([]corev1.Container, len(o.Spec.Containers))
		for i, container := range o.Spec.Containers {
			containers[i] = corev1.Container{Name: container.Name, Ports: container.Ports}
		}
		o.Spec = corev1.PodSpec{NodeName: o.Spec.NodeName, HostNetwork: o.Spec.HostNetwork, Containers: containers}
		o.Status = corev1.PodStatus{Phase: o.Status.Phase, PodIP: o.Status.PodIP, PodIPs: o.Status.PodIPs}
	}
	return object, nil
}

// NodeUID returns the UID of a Node object, "" if there is none.
func NodeUID(nodes corelisters.NodeLister, name string) types.UID {
	node, err := nodes.Get(name)
	if err != nil {
		return ""
	}
	return node.UID
}
