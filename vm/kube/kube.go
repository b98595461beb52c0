// Package kube is the host's few wishes to the Kubernetes API of a cluster,
// each of which may be made twice.
package kube

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/pager"
)

// drainPoll is how often an eviction that a budget forbids is tried again.
const drainPoll = 2 * time.Second

// Client speaks to one cluster.
type Client struct{ set kubernetes.Interface }

// New returns a Client of the cluster that config leads to, which stays as it is.
func New(config *rest.Config) (*Client, error) {
	config = rest.CopyConfig(config)
	config.QPS, config.Burst = 50, 100
	config.UserAgent = "skiff-daemon"
	set, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client of the Kubernetes API: %w", err)
	}
	return &Client{set}, nil
}

// Ready returns nil if the API server says that it is ready.
func (c *Client) Ready(ctx context.Context) error {
	_, err := c.set.CoreV1().RESTClient().Get().AbsPath("/readyz").MaxRetries(0).DoRaw(ctx)
	if err != nil {
		return fmt.Errorf("ask the API server whether it is ready: %w", err)
	}
	return nil
}

// Version of the API server: "v1.36.3".
func (c *Client) Version(context.Context) (string, error) {
	version, err := c.set.Discovery().ServerVersion()
	if err != nil {
		return "", fmt.Errorf("ask the API server for its version: %w", err)
	}
	return version.GitVersion, nil
}

// Node is what the API says of a node.
type Node struct {
	// Ready is the condition's status; Reason is why it is not "True".
	Ready, Reason string
	// BootID is the kernel's of the kubelet that reported last.
	BootID string
}

// Nodes that are registered, by name.
func (c *Client) Nodes(ctx context.Context) (map[string]Node, error) {
	list, err := c.set.CoreV1().Nodes().List(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	nodes := map[string]Node{}
	for _, item := range list.Items {
		node := Node{Ready: string(corev1.ConditionUnknown), BootID: item.Status.NodeInfo.BootID}
		for _, condition := range item.Status.Conditions {
			if condition.Type == corev1.NodeReady {
				node.Ready = string(condition.Status)
				if condition.Status != corev1.ConditionTrue {
					node.Reason = condition.Reason + ": " + condition.Message
				}
			}
		}
		nodes[item.Name] = node
	}
	return nodes, nil
}

// Drain cordons a node and evicts its pods, those of DaemonSets and static ones
// apart, until none is left or ctx ends. A node that does not exist is drained.
func (c *Client) Drain(ctx context.Context, name string) error {
	patch := []byte(`{"spec":{"unschedulable":true}}`)
	_, err := c.set.CoreV1().Nodes().Patch(ctx, name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cordon node %s: %w", name, err)
	}
	for {
		left, err := c.evict(ctx, name)
		if err == nil && left == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("drain node %s, %d pods left: %w", name, left, errors.Join(ctx.Err(), err))
		case <-time.After(drainPoll):
		}
	}
}

// evict asks for the eviction of all pods on a node and says how many are left.
func (c *Client) evict(ctx context.Context, node string) (int, error) {
	pods, err := c.set.CoreV1().Pods("").List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + node})
	if err != nil {
		return 0, fmt.Errorf("list the pods of node %s: %w", node, err)
	}
	left := 0
	for _, pod := range pods.Items {
		if stays(pod) {
			continue
		}
		left++
		if pod.DeletionTimestamp != nil {
			continue
		}
		err := c.set.PolicyV1().Evictions(pod.Namespace).Evict(ctx, &policyv1.Eviction{
			ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace},
		})
		// 429 is a disruption budget: the next round tries again.
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsTooManyRequests(err) {
			return left, fmt.Errorf("evict pod %s/%s: %w", pod.Namespace, pod.Name, err)
		}
	}
	return left, nil
}

// stays says that draining leaves the pod where it is.
func stays(pod corev1.Pod) bool {
	if _, static := pod.Annotations[corev1.MirrorPodAnnotationKey]; static {
		return true
	}
	if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return true
	}
	owner := metav1.GetControllerOf(&pod)
	return owner != nil && owner.Kind == "DaemonSet"
}

// Forget deletes a node's object. Forgetting an unknown node does nothing.
func (c *Client) Forget(ctx context.Context, name string) error {
	err := c.set.CoreV1().Nodes().Delete(ctx, name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete node %s: %w", name, err)
	}
	return nil
}

// rewritePage is how many secrets are listed at once.
const rewritePage = 250

// RewriteSecrets has every secret written again as it is, which puts it under
// the key that encrypts now, and says how many there are. A secret that somebody
// else wrote or deleted meanwhile needs nothing more.
func (c *Client) RewriteSecrets(ctx context.Context) (int, error) {
	pages := pager.New(func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
		return c.set.CoreV1().Secrets("").List(ctx, options)
	})
	pages.PageSize = rewritePage
	count := 0
	err := pages.EachListItem(ctx, metav1.ListOptions{}, func(item runtime.Object) error {
		secret, err := meta.Accessor(item)
		if err != nil {
			return err
		}
		_, err = c.set.CoreV1().Secrets(secret.GetNamespace()).Patch(ctx, secret.GetName(), types.MergePatchType, []byte("{}"), metav1.PatchOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("write secret %s/%s: %w", secret.GetNamespace(), secret.GetName(), err)
		}
		count++
		return nil
	})
	if err != nil {
		return count, fmt.Errorf("write all secrets again: %w", err)
	}
	return count, nil
}
