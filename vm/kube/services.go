package kube

import (
	"context"
	"fmt"
	"hash/fnv"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	gateways "sigs.k8s.io/gateway-api/pkg/client/clientset/versioned"
)

// reporter is the component that events come from.
const reporter = "skiff"

// NewWatcher returns a client for watches, whose requests have no time limit. It
// does not change config.
func NewWatcher(config *rest.Config) (kubernetes.Interface, error) {
	config = rest.CopyConfig(config)
	config.UserAgent = "skiff-edge"
	config.ContentType, config.AcceptContentTypes = runtime.ContentTypeProtobuf, runtime.ContentTypeProtobuf+","+runtime.ContentTypeJSON
	set, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("create a client of the Kubernetes API: %w", err)
	}
	return set, nil
}

// NewGatewayWatcher returns a client of the Gateway API for watches, whose requests have
// no time limit. It does not change config.
func NewGatewayWatcher(config *rest.Config) (gateways.Interface, error) {
	config = rest.CopyConfig(config)
	config.UserAgent = "skiff-edge"
	set, err := gateways.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("create a client of the Gateway API: %w", err)
	}
	return set, nil
}

// NewDynamicWatcher returns a client of any resource for watches, whose requests have no
// time limit. It does not change config.
func NewDynamicWatcher(config *rest.Config) (dynamic.Interface, error) {
	config = rest.CopyConfig(config)
	config.UserAgent = "skiff-records"
	set, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("create a client of the Kubernetes API: %w", err)
	}
	return set, nil
}

// WarnAbout creates an event of type Warning about a service, unless the same warning
// exists.
func (c *Client) WarnAbout(ctx context.Context, service *corev1.Service, reason, message string) error {
	h := fnv.New64a()
	_, _ = h.Write([]byte(string(service.UID) + reason + message))
	event := newEvent(corev1.ObjectReference{
		APIVersion: "v1", Kind: "Service", Namespace: service.Namespace, Name: service.Name, UID: service.UID, ResourceVersion: service.ResourceVersion,
	}, corev1.EventTypeWarning, reason, message)
	event.Namespace, event.Name = service.Namespace, fmt.Sprintf("%.200s.%x", service.Name, h.Sum64())
	_, err := c.set.CoreV1().Events(service.Namespace).Create(ctx, event, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create an event of service %s/%s: %w", service.Namespace, service.Name, err)
	}
	return nil
}

// newEvent returns an event about an object that happens now. It has no name yet.
func newEvent(about corev1.ObjectReference, kind, reason, message string) *corev1.Event {
	now := metav1.NewTime(time.Now())
	return &corev1.Event{
		InvolvedObject: about, Type: kind, Reason: reason, Message: message,
		Count: 1, FirstTimestamp: now, LastTimestamp: now,
		Source: corev1.EventSource{Component: reporter}, ReportingController: reporter,
	}
}

// PodAddress returns the IPv4 address of a running pod.
func (c *Client) PodAddress(ctx context.Context, namespace, name string) (netip.Addr, error) {
	pod, err := c.set.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{ResourceVersion: "0"})
	if err != nil {
		return netip.Addr{}, fmt.Errorf("get pod %s/%s: %w", namespace, name, err)
	}
	if pod.Status.Phase != corev1.PodRunning {
		return netip.Addr{}, fmt.Errorf("pod %s/%s is not running", namespace, name)
	}
	for _, ip := range pod.Status.PodIPs {
		if address, err := netip.ParseAddr(ip.IP); err == nil && address.Is4() {
			return address, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("pod %s/%s has no IPv4 address", namespace, name)
}
