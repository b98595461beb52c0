package kube

import (
	"reflect"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-dev/skiff/kube/feed"
)

func TestContainersOfReturnsStartOrder(t *testing.T) {
	begun := metav1.NewTime(time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC))
	always := corev1.ContainerRestartPolicyAlways
	pod := &corev1.Pod{
		Spec: corev1.PodSpec{
			InitContainers: []corev1.Container{{Name: "migrate"}, {Name: "proxy", RestartPolicy: &always}},
			Containers: []corev1.Container{{
				Name: "web", Image: "web:1", ReadinessProbe: &corev1.Probe{}, LivenessProbe: &corev1.Probe{},
				Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080, Protocol: "TCP"}, {ContainerPort: 53, Protocol: "UDP"}},
				Resources: corev1.ResourceRequirements{
					Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("64Mi")},
					Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("128Mi")},
				},
			}},
			EphemeralContainers: []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "look"}}},
		},
		Status: corev1.PodStatus{
			InitContainerStatuses: []corev1.ContainerStatus{
				{Name: "migrate", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Completed", FinishedAt: begun}}},
				{Name: "proxy", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Error", ExitCode: 3, FinishedAt: begun}}},
			},
			ContainerStatuses: []corev1.ContainerStatus{{Name: "web", Ready: true, RestartCount: 2, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: begun}}}},
		},
	}
	want := []feed.Container{
		{Name: "migrate", Kind: "init", State: "Completed", Ended: true, Since: begun.Time, Requests: "-", Limits: "-"},
		{Name: "proxy", Kind: "sidecar", State: "Error (3)", Since: begun.Time, Requests: "-", Limits: "-"},
		{
			Name: "web", Image: "web:1", State: "Running", Ready: true, Restarts: 2, Since: begun.Time, Ports: []string{"http:8080", "53/UDP"},
			Requests: "100m/64Mi", Limits: "-/128Mi", Probes: "liveness readiness",
		},
		{Name: "look", Kind: "debug", State: "Waiting", Requests: "-", Limits: "-"},
	}
	got := containersOf(pod)
	if len(got) != len(want) {
		t.Fatalf("%d containers: %+v", len(got), got)
	}
	for i := range want {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("got  %+v\nwant %+v", got[i], want[i])
		}
	}
}
