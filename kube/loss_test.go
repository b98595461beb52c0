package kube

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestVolumeOutcomeNamesTheReclaimPolicy(t *testing.T) {
	pv := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "pv-1"},
		Spec: corev1.PersistentVolumeSpec{
			Capacity: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}, PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimDelete,
		},
	}
	if got := volumeOutcome(pv); got != "Volume pv-1 (1Gi) and its data are deleted." {
		t.Error(got)
	}
	pv.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimRetain
	if got := volumeOutcome(pv); got != "Volume pv-1 (1Gi) is kept: its reclaim policy is Retain." {
		t.Error(got)
	}
}

func TestPodCount(t *testing.T) {
	running := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "a"}, Status: corev1.PodStatus{Phase: corev1.PodRunning}}
	for want, pods := range map[string][]corev1.Pod{
		"It has no pods.": nil, "It has one pod (a).": {running}, "It has 3 pods, 2 of them running.": {running, running, {}},
	} {
		if got := podCount(pods); len(got) != 1 || got[0] != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
