package kube

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-dev/skiff/kube/object"
)

func TestPodNodeHasTheStatusOfThePodTable(t *testing.T) {
	state := func(s corev1.ContainerState) corev1.PodStatus {
		return corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{Name: "web", State: s, Ready: s.Running != nil, RestartCount: 1}}}
	}
	waiting := func(reason string) corev1.ContainerState {
		return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}}
	}
	for want, status := range map[string]corev1.PodStatus{
		"Running":           state(corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}),
		"CrashLoopBackOff":  state(waiting("CrashLoopBackOff")),
		"ContainerCreating": state(waiting("ContainerCreating")),
		"OOMKilled":         state(corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "OOMKilled", ExitCode: 137}}),
		"Pending":           {Phase: corev1.PodPending},
	} {
		pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "web"}}}, Status: status}
		if got := podNode(object.Ref{}, pod); got.Status != want || got.Healthy != (want == "Running") {
			t.Errorf("%q, healthy: %t; want %q", got.Status, got.Healthy, want)
		}
	}
}
