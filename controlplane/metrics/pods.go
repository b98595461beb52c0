package metrics

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
)

// running lists the metadata of running pods. metrics-server has an informer of its
// own for that; the API server knows all pods anyway.
type running struct {
	pods corelisters.PodLister
}

// List implements cache.GenericLister.
func (r running) List(selector labels.Selector) ([]runtime.Object, error) {
	pods, err := r.pods.List(selector)
	return metadata(pods), err
}

// Get implements cache.GenericLister. Pods have namespaces, so it finds nothing.
func (r running) Get(name string) (runtime.Object, error) {
	return nil, apierrors.NewNotFound(corev1.Resource("pods"), name)
}

// ByNamespace implements cache.GenericLister. An empty name stands for all namespaces.
func (r running) ByNamespace(namespace string) cache.GenericNamespaceLister {
	return inNamespace{r.pods.Pods(namespace)}
}

type inNamespace struct {
	pods corelisters.PodNamespaceLister
}

// List implements cache.GenericNamespaceLister.
func (n inNamespace) List(selector labels.Selector) ([]runtime.Object, error) {
	pods, err := n.pods.List(selector)
	return metadata(pods), err
}

// Get implements cache.GenericNamespaceLister.
func (n inNamespace) Get(name string) (runtime.Object, error) {
	pod, err := n.pods.Get(name)
	if err != nil {
		return nil, fmt.Errorf("get pod: %w", err)
	}
	found := metadata([]*corev1.Pod{pod})
	if len(found) == 0 {
		return nil, apierrors.NewNotFound(corev1.Resource("pods"), name)
	}
	return found[0], nil
}

// metadata returns the metadata of the pods that are running.
func metadata(pods []*corev1.Pod) []runtime.Object {
	objects := make([]runtime.Object, 0, len(pods))
	for _, pod := range pods {
		if pod.Status.Phase == corev1.PodRunning {
			objects = append(objects, &metav1.PartialObjectMetadata{TypeMeta: pod.TypeMeta, ObjectMeta: pod.ObjectMeta})
		}
	}
	return objects
}
