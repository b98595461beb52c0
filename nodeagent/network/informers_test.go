package network

import (
	"reflect"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestTrimKeepsWhatPoliciesAndRoutesUse(t *testing.T) {
	address := []corev1.PodIP{{IP: "10.244.1.2"}}
	ports := []corev1.ContainerPort{{Name: "http", ContainerPort: 80}}
	got, err := trim(&corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: "p", Namespace: "default", Labels: map[string]string{"a": "b"}, Annotations: map[string]string{"large": "text"},
		},
		Spec: corev1.PodSpec{
			NodeName: "worker-1", HostNetwork: true,
			Containers: []corev1.Container{{Name: "c", Image: "image", Ports: ports}},
		},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.244.1.2", PodIPs: address, Message: "text"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "default", Labels: map[string]string{"a": "b"}},
		Spec: corev1.PodSpec{
			NodeName: "worker-1", HostNetwork: true,
			Containers: []corev1.Container{{Name: "c", Ports: ports}},
		},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.244.1.2", PodIPs: address},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}

	trimmed, err := trim(node("n", "192.168.104.21", "10.244.1.0/24"))
	if err != nil || placed(trimmed) != placed(node("n", "192.168.104.21", "10.244.1.0/24")) {
		t.Errorf("node became %+v, %v", trimmed, err)
	}
}
