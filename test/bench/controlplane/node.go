package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"

	"github.com/skiff-dev/skiff/internal/pause"
)

// The lease of a node (KEP-589): its duration, and how often the kubelet renews
// it.
const (
	leaseSeconds = 40
	heartbeat    = 10 * time.Second
)

// node is a simulated kubelet.
type node struct {
	name    string
	client  kubernetes.Interface
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// join registers a Ready node and renews its lease until stop. Pods on it become
// Ready immediately.
func join(ctx context.Context, client kubernetes.Interface, name string) (*node, error) {
	n := &node{name: name, client: client}
	capacity := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("2"), corev1.ResourceMemory: resource.MustParse("2Gi"), corev1.ResourcePods: resource.MustParse("110"),
	}
	now := metav1.Now()
	object := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name}},
		Status: corev1.NodeStatus{
			Capacity: capacity, Allocatable: capacity,
			Conditions: []corev1.NodeCondition{{
				Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady", LastHeartbeatTime: now, LastTransitionTime: now,
			}},
		},
	}
	if _, err := n.client.CoreV1().Nodes().Create(ctx, object, metav1.CreateOptions{}); err != nil {
		return nil, fmt.Errorf("register node %s: %w", name, err)
	}
	lease := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: corev1.NamespaceNodeLease},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &name, LeaseDurationSeconds: ptr.To(int32(leaseSeconds)), RenewTime: ptr.To(metav1.NowMicro())},
	}
	leases := n.client.CoordinationV1().Leases(corev1.NamespaceNodeLease)
	lease, err := leases.Create(ctx, lease, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("create the lease of node %s: %w", name, err)
	}
	ctx, n.cancel = context.WithCancel(ctx)
	n.running.Go(func() { n.renewLease(ctx, lease) })
	n.running.Go(func() { n.runPods(ctx) })
	return n, nil
}

func (n *node) renewLease(ctx context.Context, lease *coordinationv1.Lease) {
	leases := n.client.CoordinationV1().Leases(corev1.NamespaceNodeLease)
	for pause.For(ctx, heartbeat) == nil {
		lease.Spec.RenewTime = ptr.To(metav1.NowMicro())
		if renewed, err := leases.Update(ctx, lease, metav1.UpdateOptions{}); err == nil {
			lease = renewed
		}
	}
}

// runPods watches the pods of the node and reports them as running.
func (n *node) runPods(ctx context.Context) {
	own := metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("spec.nodeName", n.name).String()}
	for ctx.Err() == nil {
		// Without a resource version, a watch starts with the current objects.
		pods, err := n.client.CoreV1().Pods(metav1.NamespaceAll).Watch(ctx, own)
		if err != nil {
			_ = pause.For(ctx, time.Second)
			continue
		}
		for event := range pods.ResultChan() {
			if pod, ok := event.Object.(*corev1.Pod); ok && event.Type != watch.Deleted && pod.Status.Phase == corev1.PodPending {
				n.runPod(ctx, pod)
			}
		}
		pods.Stop()
	}
}

// runPod reports a pod as Ready. After a failure, the next event of the pod tries
// again.
func (n *node) runPod(ctx context.Context, pod *corev1.Pod) {
	now := metav1.Now()
	status := corev1.PodStatus{Phase: corev1.PodRunning, StartTime: &now}
	for _, condition := range []corev1.PodConditionType{corev1.PodInitialized, corev1.ContainersReady, corev1.PodReady} {
		status.Conditions = append(status.Conditions, corev1.PodCondition{Type: condition, Status: corev1.ConditionTrue, LastTransitionTime: now})
	}
	patch, err := json.Marshal(map[string]any{"status": status})
	if err == nil {
		_, _ = n.client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	}
}

// stop stops the kubelet. The node remains registered.
func (n *node) stop() {
	n.cancel()
	n.running.Wait()
}
