//go:build !kubernetes_before_1_37

package controllers

import (
	corev1 "k8s.io/api/core/v1"
	informerscorev1 "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/tools/cache"
)

type nodeInformer = informerscorev1.TypedNodeInformer

// TypedInformer implements v1.TypedNodeInformer.
func (n realNodes) TypedInformer() informerscorev1.NodeIndexInformer {
	return cache.NewTypedSharedIndexInformer[*corev1.Node](n.Informer())
}
