package main

import (
	"context"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	name   string
	client kubernetes.Interface
	cancel context.CancelFunc
	ended  chan struct{}
}

// join registers a node that is Ready, and keeps it so until leave.
func join(ctx context.Context, s site, name string) (*node, error) {
	config, err := s.client()
	if err != nil {
		return nil, err
	}
	n := &node{name: name, ended: make(chan struct{})}
	if n.client, err = kubernetes.NewForConfig(config); err != nil {
		return nil, err
	}
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
	if lease, err = leases.Create(ctx, lease, metav1.CreateOptions{}); err != nil {
		return nil, fmt.Errorf("make the lease of node %s: %w", name, err)
	}
	ctx, n.cancel = context.WithCancel(ctx)
	go n.beat(ctx, lease)
	return n, nil
}

func (n *node) beat(ctx context.Context, lease *coordinationv1.Lease) {
	defer close(n.ended)
	leases := n.client.CoordinationV1().Leases(corev1.NamespaceNodeLease)
	for pause(ctx, heartbeat) == nil {
		lease.Spec.RenewTime = ptr.To(metav1.NowMicro())
		if renewed, err := leases.Update(ctx, lease, metav1.UpdateOptions{}); err == nil {
			lease = renewed
		}
	}
}

// leave ends the heartbeats; the node stays registered.
func (n *node) leave() {
	n.cancel()
	<-n.ended
}
