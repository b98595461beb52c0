package kube

import (
	"context"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
)

// Facts returns the properties of an object that actions on it need.
func (c *Client) Facts(ctx context.Context, ref object.Ref) (feed.Facts, error) {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	facts := feed.Facts{Replicas: -1}
	o, err := c.resourceClient(ref).Get(ctx, ref.Name, metav1.GetOptions{})
	if err != nil {
		return facts, err
	}
	if replicas, ok, _ := unstructured.NestedInt64(o.Object, "spec", "replicas"); ok {
		facts.Replicas = replicas
	}
	if owner := metav1.GetControllerOf(o); owner != nil {
		if above, err := c.owner(ctx, ref, *owner); err == nil {
			facts.Owner = &above
		}
	}
	if ref.Resource.ID() == "pods" {
		var pod corev1.Pod
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &pod); err != nil {
			return facts, err
		}
		podFacts(&facts, &pod)
		facts.Node = pod.Spec.NodeName
		return facts, nil
	}
	facts.Loss = c.deletionLoss(ctx, ref, o)
	if ref.Resource.ID() == "services" {
		facts.Ports = servicePorts(o)
	}
	if selector, err := selectorOf(o); err == nil && selector != "" {
		facts.Selector = selector
		list, err := c.typed.CoreV1().Pods(ref.Namespace).List(ctx, metav1.ListOptions{LabelSelector: selector, ResourceVersion: "0"})
		if err != nil {
			return facts, err
		}
		if ownsPods(ref.Resource) {
			facts.Loss = append(facts.Loss, podCount(list.Items)...)
		}
		if len(list.Items) > 0 && len(facts.Ports) == 0 {
			podFacts(&facts, &list.Items[0])
		}
	}
	return facts, nil
}

// ownsPods reports whether pods that an object of a resource selects are deleted with it.
func ownsPods(r object.Resource) bool {
	return slices.Contains([]string{"apps", "batch"}, r.Group) || r.ID() == object.ReplicationControllers.ID()
}

func servicePorts(o *unstructured.Unstructured) []string {
	var service corev1.Service
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &service); err != nil {
		return nil
	}
	var ports []string
	for _, p := range service.Spec.Ports {
		ports = append(ports, strconv.Itoa(int(p.Port)))
	}
	return ports
}

// podFacts adds the containers of a pod and their ports.
func podFacts(f *feed.Facts, p *corev1.Pod) {
	for _, container := range p.Spec.Containers {
		f.Containers = append(f.Containers, oneLine(container.Name))
		for _, port := range container.Ports {
			f.Ports = append(f.Ports, strconv.Itoa(int(port.ContainerPort)))
		}
	}
}
