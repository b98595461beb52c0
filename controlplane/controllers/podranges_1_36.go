//go:build kubernetes_before_1_37

package controllers

import informerscorev1 "k8s.io/client-go/informers/core/v1"

type nodeInformer = informerscorev1.NodeInformer
