package kube

import (
	"maps"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

func TestMarksChangeOnlyWhatTheyName(t *testing.T) {
	set := fake.NewClientset(&corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "gpu-1", Labels: map[string]string{"gpu": "old", "gone": "x", "mine": "y"}},
		Spec: corev1.NodeSpec{Taints: []corev1.Taint{
			{Key: "gpu", Value: "old", Effect: corev1.TaintEffectNoSchedule},
			{Key: "gone", Effect: corev1.TaintEffectNoExecute},
			{Key: "mine", Effect: corev1.TaintEffectNoSchedule},
		}},
	})
	conflicts, writes := 1, 0
	set.PrependReactor("update", "nodes", func(clienttesting.Action) (bool, runtime.Object, error) {
		writes++
		if conflicts--; conflicts >= 0 {
			return true, nil, apierrors.NewConflict(schema.GroupResource{Resource: "nodes"}, "gpu-1", nil)
		}
		return false, nil, nil
	})
	marks := Marks{
		Labels: map[string]string{"gpu": "new", "model": "z"}, RemoveLabels: []string{"gone", "absent"},
		Taints:       []corev1.Taint{{Key: "gpu", Value: "new", Effect: corev1.TaintEffectNoSchedule}, {Key: "more", Effect: corev1.TaintEffectNoSchedule}},
		RemoveTaints: []corev1.Taint{{Key: "gone", Effect: corev1.TaintEffectNoExecute}, {Key: "mine", Value: "other", Effect: corev1.TaintEffectNoSchedule}},
	}
	for range 2 {
		if err := (&Client{set: set}).Mark(t.Context(), "gpu-1", marks); err != nil {
			t.Fatal(err)
		}
	}
	node, err := set.CoreV1().Nodes().Get(t.Context(), "gpu-1", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var taints []string
	for _, taint := range node.Spec.Taints {
		taints = append(taints, taint.ToString())
	}
	if want := map[string]string{"gpu": "new", "model": "z", "mine": "y"}; !maps.Equal(node.Labels, want) {
		t.Errorf("labels %v, want %v", node.Labels, want)
	}
	if want := []string{"gpu=new:NoSchedule", "mine:NoSchedule", "more:NoSchedule"}; !slices.Equal(taints, want) {
		t.Errorf("taints %v, want %v", taints, want)
	}
	if writes != 2 { // a conflict, and one that succeeds
		t.Errorf("%d writes", writes)
	}
	if err := (&Client{set: set}).Mark(t.Context(), "gone-1", marks); err != nil {
		t.Errorf("a node that does not exist: %v", err)
	}
}
