package catalog_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	gateways "sigs.k8s.io/gateway-api/pkg/client/clientset/versioned/fake"

	"github.com/skiff-dev/skiff/internal/runtest"
	"github.com/skiff-dev/skiff/vm/edge/catalog"
)

var web = types.NamespacedName{Namespace: "shop", Name: "web"}

func meta(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: namespace, Name: name, ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubectl"}},
		Annotations: map[string]string{corev1.LastAppliedConfigAnnotation: "{}", "kept": "yes"},
	}
}

func service(namespace, name string) *corev1.Service {
	return &corev1.Service{ObjectMeta: meta(namespace, name)}
}

func slice(name, of string, ready bool) *discoveryv1.EndpointSlice {
	m := meta("shop", name)
	m.Labels = map[string]string{discoveryv1.LabelServiceName: of, "other": "label"}
	node := "worker-1"
	return &discoveryv1.EndpointSlice{ObjectMeta: m, Endpoints: []discoveryv1.Endpoint{{
		Addresses: []string{"10.244.1.5"}, NodeName: &node, Conditions: discoveryv1.EndpointConditions{Ready: &ready},
		TargetRef: &corev1.ObjectReference{Name: "pod"},
	}}}
}

func node(name string) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: meta("", name),
		Spec:       corev1.NodeSpec{PodCIDR: "10.244.1.0/24"},
		Status: corev1.NodeStatus{
			Images:     []corev1.ContainerImage{{Names: []string{"large"}}},
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Message: "fine"}, {Type: corev1.NodeDiskPressure}},
		},
	}
}

// run runs a catalog until the test ends.
func run(t *testing.T, client *fake.Clientset) *catalog.Catalog {
	t.Helper()
	c := catalog.New(client, gateways.NewSimpleClientset(), slog.New(slog.DiscardHandler))
	runtest.Start(t, c.Run)
	return c
}

// await returns the first snapshot that fits.
func await(t *testing.T, c *catalog.Catalog, what string, fits func(*catalog.Snapshot) bool) *catalog.Snapshot {
	t.Helper()
	limit := time.After(time.Minute)
	for {
		s, changed := c.Watch()
		if fits(s) {
			return s
		}
		select {
		case <-changed:
		case <-limit:
			t.Fatalf("no snapshot with %s; the last has %d services", what, len(s.Services))
		}
	}
}

func synced(s *catalog.Snapshot) bool { return s.Synced }

func TestSnapshotHoldsWhatTheAPIHas(t *testing.T) {
	client := fake.NewClientset(
		service("shop", "web"), service("default", "kubernetes"), service("shop", "db"),
		slice("web-2", "web", true), slice("web-1", "web", false), slice("db-1", "db", false), slice("stray", "", true),
		&networkingv1.Ingress{ObjectMeta: meta("shop", "web")}, &networkingv1.IngressClass{ObjectMeta: meta("", "skiff")},
		node("worker-1"),
	)
	s := await(t, run(t, client), "everything", synced)
	var names []string
	for _, service := range s.Services {
		names = append(names, service.Namespace+"/"+service.Name)
	}
	if want := []string{"default/kubernetes", "shop/db", "shop/web"}; !slices.Equal(names, want) {
		t.Errorf("services %v, want %v", names, want)
	}
	if len(s.Ingresses) != 1 || len(s.IngressClasses) != 1 || len(s.Nodes) != 1 {
		t.Errorf("%d ingresses, %d classes, %d nodes", len(s.Ingresses), len(s.IngressClasses), len(s.Nodes))
	}
	if got := s.EndpointSlices(web); len(got) != 2 || got[0].Name != "web-1" {
		t.Errorf("slices of %s: %v", web, got)
	}
	if !s.HasReadyEndpoints(web) || s.HasReadyEndpoints(types.NamespacedName{Namespace: "shop", Name: "db"}) {
		t.Error("ready endpoints are mistaken")
	}
	if s.Service(web) == nil || s.Service(types.NamespacedName{Name: "web"}) != nil {
		t.Error("services are not found by name")
	}
}

func TestObjectsAreKeptWithoutWhatOnlyToolsUse(t *testing.T) {
	s := await(t, run(t, fake.NewClientset(service("shop", "web"), slice("web-1", "web", true), node("worker-1"))), "everything", synced)
	for _, o := range []metav1.Object{s.Services[0], s.Nodes[0], s.EndpointSlices(web)[0]} {
		if len(o.GetManagedFields()) > 0 || o.GetAnnotations()[corev1.LastAppliedConfigAnnotation] != "" {
			t.Errorf("%s has %v, %v", o.GetName(), o.GetManagedFields(), o.GetAnnotations())
		}
	}
	if s.Services[0].Annotations["kept"] != "yes" {
		t.Error("a service's annotations are gone")
	}
	if n := s.Nodes[0]; n.Spec.PodCIDR == "" || len(n.Status.Images) > 0 || len(n.Status.Conditions) != 1 || n.Status.Conditions[0].Message != "" {
		t.Errorf("node %+v", n)
	}
	if e := s.EndpointSlices(web)[0].Endpoints[0]; e.TargetRef != nil || e.NodeName == nil || !catalog.Ready(e) {
		t.Errorf("endpoint %+v", e)
	}
}

func TestChangesAreSignalled(t *testing.T) {
	client := fake.NewClientset()
	c := run(t, client)
	old := await(t, c, "nothing", synced)
	runtest.AwaitWatch(t, client.Actions, "services")
	services := client.CoreV1().Services("shop")
	if _, err := services.Create(t.Context(), service("shop", "web"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, c, "a service", func(s *catalog.Snapshot) bool { return s.Service(web) != nil })
	if old.Service(web) != nil {
		t.Error("an old snapshot changed")
	}
	changed := service("shop", "web")
	changed.Spec.ClusterIP = "10.96.0.80"
	if _, err := services.Update(t.Context(), changed, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, c, "an address", func(s *catalog.Snapshot) bool { return s.Service(web).Spec.ClusterIP != "" })
	if err := services.Delete(t.Context(), "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, c, "no service", func(s *catalog.Snapshot) bool { return s.Service(web) == nil })
}

func TestManyChangesAreFewSnapshots(t *testing.T) {
	client := fake.NewClientset()
	c := run(t, client)
	await(t, c, "nothing", synced)
	runtest.AwaitWatch(t, client.Actions, "services")
	go func() {
		for i := range 100 {
			_, _ = client.CoreV1().Services("shop").Create(context.Background(), service("shop", fmt.Sprint("s", i)), metav1.CreateOptions{})
		}
	}()
	count, began := 0, time.Now()
	await(t, c, "all services", func(s *catalog.Snapshot) bool { count++; return len(s.Services) == 100 })
	if most := int(time.Since(began)/(10*time.Millisecond)) + 2; count > most {
		t.Errorf("%d snapshots in %s", count, time.Since(began))
	}
}

func TestLastSnapshotStaysWhileTheAPIIsAway(t *testing.T) {
	client := fake.NewClientset(service("shop", "web"))
	var away atomic.Bool
	fail := func(clienttesting.Action) (bool, runtime.Object, error) {
		if away.Load() {
			return true, nil, errors.New("connection refused")
		}
		return false, nil, nil
	}
	client.PrependReactor("list", "*", fail)
	away.Store(true)
	c := run(t, client)
	time.Sleep(100 * time.Millisecond)
	if c.Snapshot().Synced {
		t.Fatal("a snapshot of nothing counts as complete")
	}
	away.Store(false)
	await(t, c, "the service", func(s *catalog.Snapshot) bool { return s.Service(web) != nil })
	away.Store(true)
	c.Pause() // closes the watches
	c.Resume()
	time.Sleep(100 * time.Millisecond)
	if s := c.Snapshot(); !s.Synced || s.Service(web) == nil {
		t.Error("the last snapshot is gone")
	}
	if err := client.CoreV1().Services("shop").Delete(t.Context(), "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	away.Store(false)
	await(t, c, "no service", func(s *catalog.Snapshot) bool { return s.Service(web) == nil })
}

func TestGatewaysAreListedOnceTheirResourcesExist(t *testing.T) {
	client := gateways.NewSimpleClientset(&gatewayv1.GatewayClass{ObjectMeta: meta("", "skiff")})
	var missing atomic.Bool
	missing.Store(true)
	client.PrependReactor("*", "*", func(a clienttesting.Action) (bool, runtime.Object, error) {
		return missing.Load(), nil, apierrors.NewNotFound(a.GetResource().GroupResource(), "")
	})
	client.PrependWatchReactor("*", func(a clienttesting.Action) (bool, watch.Interface, error) {
		return missing.Load(), nil, apierrors.NewNotFound(a.GetResource().GroupResource(), "")
	})
	c := catalog.New(fake.NewClientset(service("shop", "web")), client, slog.New(slog.DiscardHandler))
	runtest.Start(t, c.Run)
	if s := await(t, c, "everything else", synced); s.Service(web) == nil || len(s.GatewayClasses) > 0 {
		t.Errorf("%d services, %d classes", len(s.Services), len(s.GatewayClasses))
	}
	missing.Store(false)
	await(t, c, "a class", func(s *catalog.Snapshot) bool { return len(s.GatewayClasses) == 1 })
}

func TestNothingIsWatchedDuringAPause(t *testing.T) {
	client := fake.NewClientset()
	c := run(t, client)
	await(t, c, "nothing", synced)
	c.Pause()
	c.Pause()
	client.ClearActions()
	if _, err := client.CoreV1().Services("shop").Create(t.Context(), service("shop", "web"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond)
	for _, action := range client.Actions() {
		if action.GetVerb() != "create" {
			t.Errorf("%s %s during a pause", action.GetVerb(), action.GetResource().Resource)
		}
	}
	if c.Snapshot().Service(web) != nil {
		t.Error("a change during a pause was seen")
	}
	c.Resume()
	await(t, c, "the service", func(s *catalog.Snapshot) bool { return s.Service(web) != nil })
}
