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
)

// How a kubelet shows that its node lives: a lease of this length, renewed
// this often (KEP-589), and its whole status every five minutes.
const (
	leaseSeconds = 40
	heartbeat    = 10 * time.Second
)

// node is a simulated kubelet's, as far as a control plane sees one.
type node struct {
	name    string
	client  kubernetes.Interface
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// join registers a node that is Ready, and keeps it so until leave. Every pod
// that comes to it is Ready at once.
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
		return nil, fmt.Errorf("make the lease of node %s: %w", name, err)
	}
	ctx, n.cancel = context.WithCancel(ctx)
	n.running.Go(func() { n.beat(ctx, lease) })
	n.running.Go(func() { n.runPods(ctx) })
	return n, nil
}

func (n *node) beat(ctx context.Context, lease *coordinationv1.Lease) {
	leases := n.client.CoordinationV1().Leases(corev1.NamespaceNodeLease)
	for pause(ctx, heartbeat) == nil {
		lease.Spec.RenewTime = ptr.To(metav1.NowMicro())
		if renewed, err := leases.Update(ctx, lease, metav1.UpdateOptions{}); err == nil {
			lease = renewed
		}
	}
}

// runPods watches for the node's pods, as a kubelet does, and says that they run.
func (n *node) runPods(ctx context.Context) {
	own := metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("spec.nodeName", n.name).String()}
	for ctx.Err() == nil {
		// Without a version a watch begins with what there is.
		pods, err := n.client.CoreV1().Pods(metav1.NamespaceAll).Watch(ctx, own)
		if err != nil {
			_ = pause(ctx, time.Second)
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

// runPod writes a pod's status once; a kubelet that fails to tries again with
// the next event.
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

// leave ends the kubelet; the node stays registered.
func (n *node) leave() {
	n.cancel()
	n.running.Wait()
}
