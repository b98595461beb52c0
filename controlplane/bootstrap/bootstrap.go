// Package bootstrap creates the objects that every Skiff cluster starts with: the
// roles of its parts, the service of its DNS, its default storage, ingress and gateway
// classes, and the definitions of the Gateway API. Package policy creates upstream's own.
package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	nodev1 "k8s.io/api/node/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"
	"k8s.io/utils/ptr"

	"github.com/skiff-dev/skiff/internal/names"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// Object is one object and its resource.
type Object struct {
	Resource schema.GroupVersionResource
	Object   metav1.Object
	// Yielding objects are created once; later changes are the user's.
	Yielding bool
	// Obsolete objects are deleted, yielding ones only if Skiff has created them.
	Obsolete bool
	// Content returns the whole object, of which Object is only the name then. It is called
	// only if the object must be written.
	Content func() (map[string]any, error)
	// Replaces reports whether Content replaces an existing object. It is called for
	// yielding objects with Content.
	Replaces func(existing metav1.Object) (bool, error)
}

// Settings configure the objects.
type Settings struct {
	// DNSAddress is the ClusterIP of names.DNSService. Without a valid one, there is no
	// such service.
	DNSAddress netip.Addr
	// HostVolumes is set if nodes have a folder of the host for volumes.
	HostVolumes bool
	// GatewayAPI is set if the cluster has the Gateway API. Its definitions cost about
	// 100 MB of memory.
	GatewayAPI bool
	// Runtimes are the container runtimes beside runc.
	Runtimes []nodeconfig.Runtime
}

// Objects returns all objects of a cluster, in the order in which they are needed: no
// controller starts before there is a leader, and on emulated machines all objects take
// a minute.
func Objects(s Settings) ([]Object, error) {
	objects := slices.Concat(leaderRoles(), groupBindings(), ownRoles(), obsolete())
	if s.DNSAddress.IsValid() {
		objects = append(objects, dnsService(s.DNSAddress))
	}
	objects = append(objects, localClass(names.LocalStorageClass), localClass(names.StandardStorageClass), ingressClass(), metricsService())
	if s.HostVolumes {
		objects = append(objects, hostClass())
	}
	objects = append(objects, runtimeClasses(s.Runtimes)...)
	if !s.GatewayAPI {
		return objects, nil
	}
	gateways, err := gatewayObjects() // last: nothing that starts with the cluster waits for them
	return append(objects, gateways...), err
}

func dnsService(address netip.Addr) Object {
	m := meta(names.DNSService, metav1.NamespaceSystem)
	m.Labels["k8s-app"] = names.DNSService
	m.Labels["kubernetes.io/cluster-service"] = "true"
	m.Labels["kubernetes.io/name"] = "CoreDNS"
	// The service has no selector: each node's agent publishes an endpoint slice for
	// its own DNS server, which pods on that node use.
	return Object{Resource: schema.GroupVersionResource{Version: "v1", Resource: "services"}, Object: &corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: m,
		Spec: corev1.ServiceSpec{
			Type:                  corev1.ServiceTypeClusterIP,
			ClusterIP:             address.String(),
			InternalTrafficPolicy: ptr.To(corev1.ServiceInternalTrafficPolicyLocal),
			Ports: []corev1.ServicePort{
				{Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP},
				{Name: "dns-tcp", Port: 53, Protocol: corev1.ProtocolTCP},
			},
		},
	}}
}

// localClass returns a storage class of local volumes.
func localClass(name string) Object {
	object := storageClass(name, names.LocalProvisioner, storagev1.VolumeBindingWaitForFirstConsumer)
	if name == names.LocalStorageClass {
		object.Object.SetAnnotations(map[string]string{"storageclass.kubernetes.io/is-default-class": "true"})
	}
	return object
}

func hostClass() Object {
	return storageClass(names.HostStorageClass, names.HostProvisioner, storagev1.VolumeBindingImmediate)
}

func storageClass(name, provisioner string, mode storagev1.VolumeBindingMode) Object {
	return Object{Yielding: true, Resource: storagev1.SchemeGroupVersion.WithResource("storageclasses"), Object: &storagev1.StorageClass{
		TypeMeta:             metav1.TypeMeta{APIVersion: storagev1.SchemeGroupVersion.String(), Kind: "StorageClass"},
		ObjectMeta:           meta(name, ""),
		Provisioner:          provisioner,
		ReclaimPolicy:        ptr.To(corev1.PersistentVolumeReclaimDelete),
		VolumeBindingMode:    &mode,
		AllowVolumeExpansion: ptr.To(true),
	}}
}

// metricsPriority is the priority that metrics-server gives its group and version.
const metricsPriority = 100

// ingressClass is the class of Ingresses that name none. The host serves them.
func ingressClass() Object {
	m := meta(names.IngressClass, "")
	m.Annotations = map[string]string{networkingv1.AnnotationIsDefaultIngressClass: "true"}
	return Object{Yielding: true, Resource: networkingv1.SchemeGroupVersion.WithResource("ingressclasses"), Object: &networkingv1.IngressClass{
		TypeMeta:   metav1.TypeMeta{APIVersion: networkingv1.SchemeGroupVersion.String(), Kind: "IngressClass"},
		ObjectMeta: m,
		Spec:       networkingv1.IngressClassSpec{Controller: names.IngressController},
	}}
}

// The label of all objects.
const (
	managedBy = "app.kubernetes.io/managed-by"
	manager   = "skiff"
)

// metricsService makes the API servers answer for metrics.k8s.io themselves, because it
// names no service. Whoever installs another server of these metrics changes it.
func metricsService() Object {
	version := metricsv1beta1.SchemeGroupVersion
	return Object{Yielding: true, Resource: apiregistrationv1.SchemeGroupVersion.WithResource("apiservices"), Object: &apiregistrationv1.APIService{
		TypeMeta:   metav1.TypeMeta{APIVersion: apiregistrationv1.SchemeGroupVersion.String(), Kind: "APIService"},
		ObjectMeta: meta(version.Version+"."+version.Group, ""),
		Spec: apiregistrationv1.APIServiceSpec{
			Group: version.Group, Version: version.Version,
			GroupPriorityMinimum: metricsPriority, VersionPriority: metricsPriority,
		},
	}}
}

func meta(name, namespace string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name: name, Namespace: namespace,
		Labels: map[string]string{managedBy: manager},
	}
}

func rbacResource(resource string) schema.GroupVersionResource {
	return rbacv1.SchemeGroupVersion.WithResource(resource)
}

// retryPeriod is how long Run waits before it tries failed objects again.
const retryPeriod = 100 * time.Millisecond

// Run creates missing objects and corrects changed ones, and returns when all are
// as they should be or ctx ends. Several control planes may run it at once.
func Run(ctx context.Context, client *rest.Config, s Settings) error {
	objects, err := dynamic.NewForConfig(client)
	if err != nil {
		return fmt.Errorf("make the bootstrap client: %w", err)
	}
	pending, err := Objects(s)
	if err != nil {
		return err
	}
	var failures error
	err = wait.PollUntilContextCancel(ctx, retryPeriod, true, func(ctx context.Context) (bool, error) {
		pending, failures = ensureAll(ctx, objects, pending)
		return len(pending) == 0, nil
	})
	if err != nil {
		return errors.Join(failures, context.Cause(ctx))
	}
	return nil
}

// writers is how many objects are ensured at once. One after another, each would wait for
// the CPU time of the nodes that start.
const writers = 8

// ensureAll begins with the first objects, and returns those that failed.
func ensureAll(ctx context.Context, client dynamic.Interface, objects []Object) (failed []Object, failures error) {
	errs := make([]error, len(objects))
	var group errgroup.Group
	group.SetLimit(writers)
	for i, o := range objects {
		group.Go(func() error {
			errs[i] = ensure(ctx, client, o)
			return nil
		})
	}
	_ = group.Wait() // the errors are in errs
	for i, err := range errs {
		if err != nil {
			failed = append(failed, objects[i])
		}
	}
	return failed, errors.Join(errs...)
}

// runtimeClasses returns a class for each runtime, and those of other runtimes to be deleted.
func runtimeClasses(runtimes []nodeconfig.Runtime) []Object {
	var objects []Object
	for _, r := range nodeconfig.Runtimes() {
		wanted := slices.ContainsFunc(runtimes, func(w nodeconfig.Runtime) bool { return w.Name == r.Name })
		objects = append(objects, Object{
			Yielding: true, Obsolete: !wanted,
			Resource: nodev1.SchemeGroupVersion.WithResource("runtimeclasses"), Object: &nodev1.RuntimeClass{
				TypeMeta:   metav1.TypeMeta{APIVersion: nodev1.SchemeGroupVersion.String(), Kind: "RuntimeClass"},
				ObjectMeta: meta(r.Name, ""),
				Handler:    r.Handler,
			},
		})
	}
	return objects
}

// ensure creates an object, or updates it if it lacks what it should contain.
func ensure(ctx context.Context, client dynamic.Interface, o Object) error {
	resource := dynamic.ResourceInterface(client.Resource(o.Resource))
	if namespace := o.Object.GetNamespace(); namespace != "" {
		resource = client.Resource(o.Resource).Namespace(namespace)
	}
	if o.Obsolete {
		if o.Yielding {
			existing, err := resource.Get(ctx, o.Object.GetName(), metav1.GetOptions{})
			if apierrors.IsNotFound(err) || err == nil && existing.GetLabels()[managedBy] != manager {
				return nil
			}
			if err != nil {
				return fmt.Errorf("read %s %s: %w", o.Resource.Resource, o.Object.GetName(), err)
			}
		}
		if err := resource.Delete(ctx, o.Object.GetName(), metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete %s %s: %w", o.Resource.Resource, o.Object.GetName(), err)
		}
		return nil
	}
	if err := write(ctx, resource, o); err != nil {
		return fmt.Errorf("ensure %s %s: %w", o.Resource.Resource, o.Object.GetName(), err)
	}
	return nil
}

func write(ctx context.Context, resource dynamic.ResourceInterface, o Object) error {
	existing, err := resource.Get(ctx, o.Object.GetName(), metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	missing := err != nil
	if !missing && o.Yielding {
		if o.Replaces == nil {
			return nil
		}
		if replaces, err := o.Replaces(existing); err != nil || !replaces {
			return err
		}
	}
	content, err := encode(o)
	switch {
	case err != nil:
	case missing:
		_, err = resource.Create(ctx, &unstructured.Unstructured{Object: content}, metav1.CreateOptions{})
	case !contains(existing.Object, content):
		merge(existing.Object, content)
		_, err = resource.Update(ctx, existing, metav1.UpdateOptions{})
	}
	return err
}

// encode returns the content of an object.
func encode(o Object) (map[string]any, error) {
	if o.Content != nil {
		return o.Content()
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o.Object)
	if err != nil {
		return nil, fmt.Errorf("encode it: %w", err)
	}
	prune(content)
	return content, nil
}
