package kube

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/kubectl/pkg/drain"
)

// drainPoll is how long to wait before an eviction that a disruption budget forbids
// is tried again. drainPage is how many pods are listed at once.
const (
	drainPoll = 2 * time.Second
	drainPage = 500
)

// DrainOptions change which pods are evicted.
type DrainOptions struct {
	// KeepUnmanaged keeps pods without a controller, which nothing would create again.
	KeepUnmanaged bool
}

// Cordon keeps new pods off a node, or lets it take pods again. It does nothing for a node
// that does not exist.
func (c *Client) Cordon(ctx context.Context, name string, on bool) error {
	node, err := c.set.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if err == nil {
		err = drain.RunCordonOrUncordon(c.drainHelper(ctx), node, on)
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("%s node %s: %w", map[bool]string{true: "cordon", false: "uncordon"}[on], name, err)
	}
	return nil
}

// Drain cordons a node and evicts its pods, except those of DaemonSets and static
// pods, until all are gone or ctx ends. It evicts pods with local data as well. Draining a
// node that does not exist does nothing.
func (c *Client) Drain(ctx context.Context, name string, o DrainOptions) error {
	node, err := c.set.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("drain node %s: %w", name, err)
	}
	helper := c.drainHelper(ctx)
	if err := drain.RunCordonOrUncordon(helper, node, true); err != nil {
		return fmt.Errorf("cordon node %s: %w", name, err)
	}
	list, faults := c.evictable(ctx, name, o)
	if len(faults) > 0 {
		return fmt.Errorf("drain node %s: %w", name, faults[0])
	}
	if err := helper.DeleteOrEvictPods(list); err != nil {
		return fmt.Errorf("drain node %s: %w", name, err)
	}
	return nil
}

func (c *Client) drainHelper(ctx context.Context) *drain.Helper {
	return &drain.Helper{
		Ctx: ctx, Client: c.set, Out: io.Discard, ErrOut: io.Discard, GracePeriodSeconds: -1,
		Force: true, IgnoreAllDaemonSets: true, DeleteEmptyDirData: true, ChunkSize: drainPage, EvictErrorRetryDelay: drainPoll,
	}
}

// evictable returns the pods that a drain of a node evicts.
func (c *Client) evictable(ctx context.Context, name string, o DrainOptions) ([]corev1.Pod, []error) {
	helper := c.drainHelper(ctx)
	if o.KeepUnmanaged {
		helper.AdditionalFilters = []drain.PodFilter{func(pod corev1.Pod) drain.PodDeleteStatus {
			if metav1.GetControllerOf(&pod) == nil {
				return drain.MakePodDeleteStatusSkip()
			}
			return drain.MakePodDeleteStatusOkay()
		}}
	}
	list, faults := helper.GetPodsForDeletion(name)
	if len(faults) > 0 {
		return nil, faults
	}
	return list.Pods(), nil
}

// maxBlocking bounds how many pods Blocking names.
const maxBlocking = 3

// Blocking returns, for users, which pods a drain of a node waits for and why; empty if
// there are none.
func (c *Client) Blocking(ctx context.Context, name string, o DrainOptions) (string, error) {
	pods, faults := c.evictable(ctx, name, o)
	if len(faults) > 0 {
		return "", faults[0]
	}
	budgets, err := c.set.PolicyV1().PodDisruptionBudgets(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", fmt.Errorf("list disruption budgets: %w", err)
	}
	var all []string
	for i, pod := range pods {
		if i == maxBlocking {
			all = append(all, fmt.Sprintf("and %d more", len(pods)-maxBlocking))
			break
		}
		all = append(all, whyPodStays(pod, budgets.Items))
	}
	return strings.Join(all, ", "), nil
}

// Protected returns, for users, which pods a drain of a node could not evict now because of
// disruption budgets; empty if there are none.
func (c *Client) Protected(ctx context.Context, name string) (string, error) {
	pods, faults := c.evictable(ctx, name, DrainOptions{KeepUnmanaged: true})
	if len(faults) > 0 {
		return "", faults[0]
	}
	budgets, err := c.set.PolicyV1().PodDisruptionBudgets(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", fmt.Errorf("list disruption budgets: %w", err)
	}
	var all []string
	for _, pod := range pods {
		if budget, ok := protects(pod, budgets.Items); ok && len(all) < maxBlocking {
			all = append(all, protection(pod, budget))
		}
	}
	return strings.Join(all, ", "), nil
}

// protects returns the disruption budget that does not allow the eviction of a pod, if any.
func protects(pod corev1.Pod, budgets []policyv1.PodDisruptionBudget) (policyv1.PodDisruptionBudget, bool) {
	for _, budget := range budgets {
		selector, err := metav1.LabelSelectorAsSelector(budget.Spec.Selector)
		if err == nil && budget.Namespace == pod.Namespace && selector.Matches(labels.Set(pod.Labels)) && budget.Status.DisruptionsAllowed == 0 {
			return budget, true
		}
	}
	return policyv1.PodDisruptionBudget{}, false
}

func protection(pod corev1.Pod, budget policyv1.PodDisruptionBudget) string {
	return fmt.Sprintf("pod %s/%s is protected by the disruption budget %s/%s (%d healthy, %d needed)",
		pod.Namespace, pod.Name, budget.Namespace, budget.Name, budget.Status.CurrentHealthy, budget.Status.DesiredHealthy)
}

// whyPodStays returns, for users, why a pod that should be evicted is still there.
func whyPodStays(pod corev1.Pod, budgets []policyv1.PodDisruptionBudget) string {
	name := "pod " + pod.Namespace + "/" + pod.Name
	if pod.DeletionTimestamp != nil {
		return name + " is still terminating"
	}
	if budget, ok := protects(pod, budgets); ok {
		return protection(pod, budget)
	}
	return name + " is still there"
}
