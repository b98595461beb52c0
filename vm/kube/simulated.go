package kube

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/pager"
	"k8s.io/utils/ptr"

	"github.com/skiff-dev/skiff/internal/names"
)

// simulatedAtOnce is how many requests about simulated nodes run at the same time.
const simulatedAtOnce = 16

// Simulate creates the simulated nodes with the given names that do not exist, and deletes
// the others that own reports as Skiff's, then their pods: none must be scheduled onto them
// again.
func (c *Client) Simulate(ctx context.Context, wanted []string, own func(name string, labels map[string]string) bool) error {
	list, err := c.set.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: names.SimulatedSelector})
	if err != nil {
		return fmt.Errorf("list simulated nodes: %w", err)
	}
	exist := map[string]bool{}
	for _, node := range list.Items {
		exist[node.Name] = own(node.Name, node.Labels)
	}
	requests, limited := errgroup.WithContext(ctx)
	requests.SetLimit(simulatedAtOnce)
	for _, name := range wanted {
		if !exist[name] {
			requests.Go(func() error { return c.createSimulated(limited, name) })
		}
		delete(exist, name)
	}
	maps.DeleteFunc(exist, func(_ string, surplus bool) bool { return !surplus })
	for name := range exist {
		requests.Go(func() error { return c.deleteSimulated(limited, name) })
	}
	if err := requests.Wait(); err != nil || len(exist) == 0 {
		return err
	}
	return c.deletePodsOn(ctx, exist)
}

func (c *Client) createSimulated(ctx context.Context, name string) error {
	_, err := c.bulk.CoreV1().Nodes().Create(ctx, simulatedNode(name), metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create simulated node %s: %w", name, err)
	}
	return nil
}

func (c *Client) deleteSimulated(ctx context.Context, name string) error {
	err := c.bulk.CoreV1().Nodes().Delete(ctx, name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete simulated node %s: %w", name, err)
	}
	return nil
}

// deletePodsOn deletes the pods of nodes that have been deleted, which have no kubelet to
// end them. Pods that the scheduler is binding meanwhile are left to the garbage collector
// of pods, which needs a minute.
func (c *Client) deletePodsOn(ctx context.Context, nodes map[string]bool) error {
	requests, limited := errgroup.WithContext(ctx)
	requests.SetLimit(simulatedAtOnce)
	pages := pager.New(func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
		return c.bulk.CoreV1().Pods(metav1.NamespaceAll).List(ctx, options)
	})
	err := pages.EachListItem(ctx, metav1.ListOptions{}, func(item runtime.Object) error {
		pod, ok := item.(*corev1.Pod)
		if !ok || !nodes[pod.Spec.NodeName] {
			return nil
		}
		requests.Go(func() error {
			err := c.bulk.CoreV1().Pods(pod.Namespace).Delete(limited, pod.Name, metav1.DeleteOptions{
				GracePeriodSeconds: ptr.To[int64](0), Preconditions: metav1.NewUIDPreconditions(string(pod.UID)),
			})
			if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
				return fmt.Errorf("delete pod %s/%s of simulated node %s: %w", pod.Namespace, pod.Name, pod.Spec.NodeName, err)
			}
			return nil
		})
		return nil
	})
	if err != nil {
		err = fmt.Errorf("list the pods of simulated nodes: %w", err)
	}
	return errors.Join(err, requests.Wait())
}

// simulatedNode returns a node as kwok's documentation describes it. Load balancers and
// Service controllers leave it out.
func simulatedNode(name string) *corev1.Node {
	room := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("32"), corev1.ResourceMemory: resource.MustParse("256Gi"), corev1.ResourcePods: resource.MustParse("110"),
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name:        name,
			Annotations: map[string]string{names.AnnotationSimulated: names.ValueTaintSimulated},
			Labels: map[string]string{
				names.LabelSimulated: names.ValueSimulated, corev1.LabelHostname: name,
				corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64",
				names.LabelNodeRolePrefix + "agent": "",
				corev1.LabelNodeExcludeBalancers:    "",
			},
		},
		Spec: corev1.NodeSpec{Taints: []corev1.Taint{{
			Key: names.TaintSimulated, Value: names.ValueTaintSimulated, Effect: corev1.TaintEffectNoSchedule,
		}}},
		Status: corev1.NodeStatus{Capacity: room, Allocatable: room},
	}
}
