package kube

import (
	"context"
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/skiff-dev/skiff/tui/object"
)

// forwardTarget is the pod that ref means now: the pod itself or, when it is
// gone, one with the labels that it had; or one behind a service or workload.
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
		if selector, err = c.selector(ctx, ref); err == nil {
			pod, err = c.running(ctx, ref.Namespace, selector)
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
		known = lasting(pod.Labels)
	}
	if len(known) == 0 {
		return nil, fmt.Errorf("pod %s is not running", ref.Name)
	}
	return c.running(ctx, ref.Namespace, labels.SelectorFromSet(known).String())
}

// behindService translates the service's port into the pod's.
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
	pod, err := c.running(ctx, ref.Namespace, labels.SelectorFromSet(service.Spec.Selector).String())
	return pod, port, err
}

// selector is that of a workload's pods.
func (c *Client) selector(ctx context.Context, ref object.Ref) (string, error) {
	o, err := c.at(ref).Get(ctx, ref.Name, metav1.GetOptions{})
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

// running is a pod that the selector matches and that runs, a ready one if
// there is one.
func (c *Client) running(ctx context.Context, namespace, selector string) (*corev1.Pod, error) {
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
		if found == nil || !ready(found) && ready(p) {
			found = p
		}
	}
	if found == nil {
		return nil, fmt.Errorf("no running pod matches %s", selector)
	}
	return found, nil
}

func ready(p *corev1.Pod) bool {
	for _, condition := range p.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}
