package kube

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1" //nolint:staticcheck // client-go's dialers still return its types
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/skiff-dev/skiff/kube/object"
)

// forwardTarget returns the pod that a new connection to ref goes to: the pod
// itself or, if it is gone, one with the same labels; or a pod of a service or
// workload.
func (c *Client) forwardTarget(ctx context.Context, ref object.Ref, port string, known map[string]string) (*corev1.Pod, int, error) {
	var pod *corev1.Pod
	var err error
	switch ref.Resource.ID() {
	case "pods":
		pod, err = c.podOrSuccessor(ctx, ref, known)
	case "services":
		pod, port, err = c.behindService(ctx, ref, port)
	default:
		var selector string
		if selector, err = c.workloadSelector(ctx, ref); err == nil {
			pod, err = c.runningPod(ctx, ref.Namespace, selector)
		}
	}
	if err != nil {
		return nil, 0, err
	}
	number, err := portNumber(pod, port)
	return pod, number, err
}

func (c *Client) podOrSuccessor(ctx context.Context, ref object.Ref, known map[string]string) (*corev1.Pod, error) {
	pod, err := c.typed.CoreV1().Pods(ref.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
	if err == nil && pod.DeletionTimestamp == nil && pod.Status.Phase == corev1.PodRunning {
		return pod, nil
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, err
	}
	if err == nil && len(known) == 0 {
		known = stableLabels(pod.Labels)
	}
	if len(known) == 0 {
		return nil, fmt.Errorf("pod %s is not running", ref.Name)
	}
	return c.runningPod(ctx, ref.Namespace, labels.SelectorFromSet(known).String())
}

// behindService returns a pod of a service, and the target port of its port.
func (c *Client) behindService(ctx context.Context, ref object.Ref, port string) (*corev1.Pod, string, error) {
	service, err := c.typed.CoreV1().Services(ref.Namespace).Get(ctx, ref.Name, metav1.GetOptions{})
	if err != nil {
		return nil, "", err
	}
	if len(service.Spec.Selector) == 0 {
		return nil, "", fmt.Errorf("service %s has no selector", ref.Name)
	}
	for _, p := range service.Spec.Ports {
		if p.Name == port || strconv.Itoa(int(p.Port)) == port {
			port = p.TargetPort.String()
			if port == "0" {
				port = strconv.Itoa(int(p.Port))
			}
			break
		}
	}
	pod, err := c.runningPod(ctx, ref.Namespace, labels.SelectorFromSet(service.Spec.Selector).String())
	return pod, port, err
}

// workloadSelector returns the selector of a workload's pods.
func (c *Client) workloadSelector(ctx context.Context, ref object.Ref) (string, error) {
	o, err := c.resourceClient(ref).Get(ctx, ref.Name, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	return selectorOf(o)
}

func selectorOf(o *unstructured.Unstructured) (string, error) {
	found, ok, _ := unstructured.NestedMap(o.Object, "spec", "selector")
	if !ok {
		return "", fmt.Errorf("%s %s has no selector", o.GetKind(), o.GetName())
	}
	if o.GetKind() == "Service" || o.GetKind() == "ReplicationController" {
		set, _, err := unstructured.NestedStringMap(o.Object, "spec", "selector")
		return labels.SelectorFromSet(set).String(), err
	}
	var selector metav1.LabelSelector
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(found, &selector); err != nil {
		return "", err
	}
	parsed, err := metav1.LabelSelectorAsSelector(&selector)
	if err != nil {
		return "", err
	}
	return parsed.String(), nil
}

// runningPod returns a running pod that the selector matches, preferably a ready
// one.
func (c *Client) runningPod(ctx context.Context, namespace, selector string) (*corev1.Pod, error) {
	list, err := c.typed.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector, ResourceVersion: "0"})
	if err != nil {
		return nil, err
	}
	var found *corev1.Pod
	for i := range list.Items {
		p := &list.Items[i]
		if p.Status.Phase != corev1.PodRunning || p.DeletionTimestamp != nil {
			continue
		}
		if found == nil || !isReady(found) && isReady(p) {
			found = p
		}
	}
	if found == nil {
		return nil, fmt.Errorf("no running pod matches %s", selector)
	}
	return found, nil
}

func isReady(p *corev1.Pod) bool {
	for _, condition := range p.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

// perPodLabels differ between a pod and its replacement.
var perPodLabels = []string{
	"pod-template-hash", "controller-revision-hash", "pod-template-generation",
	"statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index",
	"batch.kubernetes.io/controller-uid", "controller-uid", "batch.kubernetes.io/job-completion-index",
}

func stableLabels(labels map[string]string) map[string]string {
	kept := map[string]string{}
	for k, v := range labels {
		if !slices.Contains(perPodLabels, k) {
			kept[k] = v
		}
	}
	return kept
}

// portNumber parses a port number, or looks up a named port of the pod.
func portNumber(p *corev1.Pod, port string) (int, error) {
	if n, err := strconv.Atoi(port); err == nil {
		if n < 1 || n > 65535 {
			return 0, fmt.Errorf("invalid port %d: use a number from 1 to 65535", n)
		}
		return n, nil
	}
	for _, container := range p.Spec.Containers {
		for _, known := range container.Ports {
			if strings.EqualFold(known.Name, port) {
				return int(known.ContainerPort), nil
			}
		}
	}
	return 0, fmt.Errorf("pod %s has no port named %q", p.Name, port)
}
