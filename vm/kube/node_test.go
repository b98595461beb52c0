package kube

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-dev/skiff/internal/names"
)

func TestNodesAreReadyOnceTheyTakePods(t *testing.T) {
	node := func(status corev1.ConditionStatus, taints ...string) corev1.Node {
		var n corev1.Node
		n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: status, Reason: "Why", Message: "because"}}
		for _, key := range taints {
			n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: key, Effect: corev1.TaintEffectNoSchedule})
		}
		return n
	}
	evicting := node(corev1.ConditionTrue, corev1.TaintNodeNotReady)
	evicting.Spec.Taints[0].Effect = corev1.TaintEffectNoExecute
	for _, c := range []struct {
		name          string
		node          corev1.Node
		ready, reason string
	}{
		{"ready", node(corev1.ConditionTrue), "True", ""},
		{"a control plane", node(corev1.ConditionTrue, names.TaintControlPlane), "True", ""},
		{"cordoned", node(corev1.ConditionTrue, corev1.TaintNodeUnschedulable), "True", ""},
		{"not ready", node(corev1.ConditionFalse, corev1.TaintNodeNotReady), "False", "Why: because"},
		{"just ready", node(corev1.ConditionTrue, corev1.TaintNodeNotReady), "False", "the taint node.kubernetes.io/not-ready is not removed yet"},
		{"ready, with the taint that evicts pods", evicting, "True", ""},
		{"not initialized", node(corev1.ConditionTrue, names.TaintUninitialized), "False", "the taint node.cloudprovider.kubernetes.io/uninitialized is not removed yet"},
		{"lost", node(corev1.ConditionUnknown), "Unknown", "Why: because"},
	} {
		if got := nodeStatus(c.node); got.Ready != c.ready || got.Reason != c.reason {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}
