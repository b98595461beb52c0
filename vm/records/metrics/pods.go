package metrics

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/skiff-dev/skiff/vm/records/metrics/target"
)

// followPods keeps a copy of the cluster's pods until ctx ends.
func followPods(ctx context.Context, client kubernetes.Interface, pods *mirror[target.Pod]) {
	from := client.CoreV1().Pods("")
	list := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			return from.List(ctx, options)
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			return from.Watch(ctx, options)
		},
	}
	pods.follow(ctx, cache.ToListWatcherWithWatchListSemantics(list, client), &corev1.Pod{}, podsBackoff)
}

// reducedPod returns the fields that are used of a pod.
func reducedPod(object any) (target.Pod, error) {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return target.Pod{}, fmt.Errorf("unexpected object of type %T", object)
	}
	return reduced(pod), nil
}

// reduced returns what is used of a pod: a cluster may have thousands.
func reduced(pod *corev1.Pod) target.Pod {
	p := target.Pod{
		Namespace: strings.Clone(pod.Namespace), Name: strings.Clone(pod.Name), Node: strings.Clone(pod.Spec.NodeName),
		Phase: string(pod.Status.Phase), Annotations: map[string]string{}, Labels: make(map[string]string, len(pod.Labels)),
	}
	p.Address, _ = netip.ParseAddr(pod.Status.PodIP)
	for _, name := range []string{target.AnnotationScrape, target.AnnotationPort, target.AnnotationPath, target.AnnotationScheme} {
		if value, ok := pod.Annotations[name]; ok {
			p.Annotations[name] = strings.Clone(value)
		}
	}
	for name, value := range pod.Labels {
		p.Labels[strings.Clone(name)] = strings.Clone(value)
	}
	for _, c := range pod.Spec.Containers {
		p.Containers = append(p.Containers, reducedContainer(c, pod.Status.ContainerStatuses))
	}
	return p
}

func reducedContainer(c corev1.Container, statuses []corev1.ContainerStatus) target.Container {
	of := target.Container{Name: strings.Clone(c.Name), Requests: amounts(c.Resources.Requests), Limits: amounts(c.Resources.Limits)}
	for _, port := range c.Ports {
		if port.Protocol == corev1.ProtocolTCP || port.Protocol == "" {
			of.Ports = append(of.Ports, target.Port{Name: strings.Clone(port.Name), Number: uint16(port.ContainerPort)}) //nolint:gosec // the API validates ports
		}
	}
	for _, status := range statuses {
		if status.Name != c.Name {
			continue
		}
		of.Restarts, of.Ready = int(status.RestartCount), status.Ready
		if ended := status.LastTerminationState.Terminated; ended != nil {
			of.LastTerminated = strings.Clone(ended.Reason)
		}
		if waiting := status.State.Waiting; waiting != nil {
			of.WaitingFor = strings.Clone(waiting.Reason)
		}
	}
	return of
}

// amounts returns CPU in cores and memory in bytes.
func amounts(list corev1.ResourceList) map[string]float64 {
	var all map[string]float64
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		if quantity, ok := list[name]; ok {
			if all == nil {
				all = map[string]float64{}
			}
			all[string(name)] = quantity.AsApproximateFloat64()
		}
	}
	return all
}
