// Package kube makes the host's few requests to the Kubernetes API of a cluster.
// Each of them may be repeated.
package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/pager"

	"github.com/skiff-dev/skiff/internal/names"
)

// requestLimit bounds one request, so that an API server that accepts connections
// and never answers cannot block its caller.
const requestLimit = 30 * time.Second

// Client is a client of one cluster.
type Client struct {
	set kubernetes.Interface
	// bulk has no limit of its own, for thousands of requests.
	bulk kubernetes.Interface
}

// New returns a Client of the cluster that config leads to. It does not change
// config.
func New(config *rest.Config) (*Client, error) {
	config = rest.CopyConfig(config)
	config.QPS, config.Burst = 50, 100
	config.UserAgent = "skiff-daemon"
	config.Timeout = requestLimit
	set, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("create a client of the Kubernetes API: %w", err)
	}
	config.QPS = -1
	bulk, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("create a client of the Kubernetes API without a limit: %w", err)
	}
	return &Client{set, bulk}, nil
}

// Ready returns nil if the API server reports that it is ready.
func (c *Client) Ready(ctx context.Context) error {
	_, err := c.set.CoreV1().RESTClient().Get().AbsPath("/readyz").MaxRetries(0).DoRaw(ctx)
	if err != nil {
		return fmt.Errorf("ask the API server whether it is ready: %w", err)
	}
	return nil
}

// Version returns the version of the API server: "v1.36.3".
func (c *Client) Version(ctx context.Context) (string, error) {
	content, err := c.set.CoreV1().RESTClient().Get().AbsPath("/version").MaxRetries(0).DoRaw(ctx)
	if err != nil {
		return "", fmt.Errorf("ask the API server for its version: %w", err)
	}
	var info version.Info
	if err := json.Unmarshal(content, &info); err != nil {
		return "", fmt.Errorf("decode the version of the API server: %w", err)
	}
	return info.GitVersion, nil
}

// Node is the status of a node in the API.
type Node struct {
	// Ready is the condition's status; Reason is why it is not "True", and Cause is the same
	// in one word.
	Ready, Reason, Cause string
	// Kubelet is the release of the kubelet: "v1.36.3".
	Kubelet string
	// BootID is the boot ID of the kernel when the kubelet last reported.
	BootID string
	// Heartbeat is when the kubelet last reported, by its clock.
	Heartbeat time.Time
	Labels    map[string]string
	// Taints in kubectl's notation.
	Taints []string
	// Cordoned nodes take no new pods.
	Cordoned bool
}

// Nodes returns the registered nodes by name.
func (c *Client) Nodes(ctx context.Context) (map[string]Node, error) {
	list, err := c.set.CoreV1().Nodes().List(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	nodes := map[string]Node{}
	for _, item := range list.Items {
		nodes[item.Name] = nodeStatus(item)
	}
	return nodes, nil
}

// nodeStatus returns the status of a node. A node that has just become Ready takes no
// pods until controllers have removed its initial taints, so it is not ready before. A
// NoExecute taint may stay for some seconds longer: every pod tolerates it for a while.
func nodeStatus(item corev1.Node) Node {
	node := Node{
		Ready: string(corev1.ConditionUnknown), BootID: item.Status.NodeInfo.BootID, Kubelet: item.Status.NodeInfo.KubeletVersion,
		Labels: item.Labels, Cordoned: item.Spec.Unschedulable,
	}
	for _, condition := range item.Status.Conditions {
		if condition.Type != corev1.NodeReady {
			continue
		}
		node.Ready, node.Heartbeat = string(condition.Status), condition.LastHeartbeatTime.Time
		if condition.Status != corev1.ConditionTrue {
			node.Reason, node.Cause = condition.Reason+": "+condition.Message, condition.Reason
		}
	}
	for _, taint := range item.Spec.Taints {
		node.Taints = append(node.Taints, taint.ToString())
		initial := taint.Key == corev1.TaintNodeNotReady || taint.Key == names.TaintUninitialized
		if initial && taint.Effect == corev1.TaintEffectNoSchedule && node.Ready == string(corev1.ConditionTrue) {
			node.Ready, node.Reason, node.Cause = string(corev1.ConditionFalse), "the taint "+taint.Key+" is not removed yet", taint.Key
		}
	}
	return node
}

// Forget deletes a node object. Forgetting an unknown node does nothing.
func (c *Client) Forget(ctx context.Context, name string) error {
	err := c.set.CoreV1().Nodes().Delete(ctx, name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete node %s: %w", name, err)
	}
	return nil
}

// rewritePage is how many secrets are listed at once.
const rewritePage = 250

// RewriteSecrets writes every secret again without changing it, which encrypts it
// with the current key, and returns how many there are. A secret that was deleted
// meanwhile needs nothing more.
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
			return fmt.Errorf("rewrite secret %s/%s: %w", secret.GetNamespace(), secret.GetName(), err)
		}
		count++
		return nil
	})
	if err != nil {
		return count, fmt.Errorf("rewrite all secrets: %w", err)
	}
	return count, nil
}
