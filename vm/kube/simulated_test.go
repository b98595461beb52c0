package kube

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/skiff-dev/skiff/internal/names"
)

func TestSimulateCreatesAndDeletesNodesWithTheirPods(t *testing.T) {
	pod := func(name, node string) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", UID: "1"}, Spec: corev1.PodSpec{NodeName: node}}
	}
	user := simulatedNode("kwok-node-0")
	worker := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "worker-1"}}
	set := fake.NewClientset(simulatedNode("simulated-0001"), simulatedNode("simulated-0003"), user, worker,
		pod("stays", "simulated-0001"), pod("goes", "simulated-0003"), pod("works", "worker-1"), pod("waits", ""))
	c := &Client{set: set, bulk: set}
	own := func(name string, labels map[string]string) bool {
		return strings.HasPrefix(name, "simulated-") && names.Simulated(labels)
	}
	for range 2 { // it may be repeated
		if err := c.Simulate(t.Context(), []string{"simulated-0001", "simulated-0002"}, own); err != nil {
			t.Fatal(err)
		}
		nodes, err := set.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, n := range nodes.Items {
			got = append(got, n.Name)
		}
		slices.Sort(got)
		if want := []string{"kwok-node-0", "simulated-0001", "simulated-0002", "worker-1"}; !slices.Equal(got, want) {
			t.Fatalf("nodes %v, want %v", got, want)
		}
	}
	pods, err := set.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, p := range pods.Items {
		left = append(left, p.Name)
	}
	slices.Sort(left)
	if want := []string{"stays", "waits", "works"}; !slices.Equal(left, want) {
		t.Errorf("pods %v, want %v", left, want)
	}
}

func TestNoOtherPodIsScheduledOntoSimulatedNodes(t *testing.T) {
	node := simulatedNode("simulated-0001")
	if len(node.Spec.Taints) != 1 || node.Spec.Taints[0].ToString() != "kwok.x-k8s.io/node=fake:NoSchedule" {
		t.Errorf("taints %v", node.Spec.Taints)
	}
	if node.Labels["type"] != "kwok" || node.Annotations["kwok.x-k8s.io/node"] != "fake" {
		t.Errorf("labels %v, annotations %v", node.Labels, node.Annotations)
	}
	if _, excluded := node.Labels[corev1.LabelNodeExcludeBalancers]; !excluded {
		t.Error("load balancers would use it")
	}
}
