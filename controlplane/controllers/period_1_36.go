//go:build kubernetes_before_1_37

package controllers

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubernetes/cmd/kube-controller-manager/app/options"
)

func setMonitorPeriod(o *options.KubeControllerManagerOptions) {
	o.KubeCloudShared.NodeMonitorPeriod = metav1.Duration{Duration: nodeMonitorPeriod}
}
