package registration_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"

	"github.com/skiff-dev/skiff/internal/names"
	"github.com/skiff-dev/skiff/nodeagent/network"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/nodeagent/registration"
)

var document = nodeconfig.Node{
	Name: "worker-1", Role: nodeconfig.RoleWorker,
	Kubernetes: nodeconfig.Kubernetes{Cloud: true, Labels: map[string]string{"example.com/disk": "fast"}, Taints: []string{"example.com/gpu=yes:NoSchedule"}},
}

func node(name string) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: "1", Labels: map[string]string{"node-role.kubernetes.io/worker": ""}},
		Spec: corev1.NodeSpec{
			PodCIDR: "10.244.1.0/24", PodCIDRs: []string{"10.244.1.0/24"}, Unschedulable: true,
			Taints: []corev1.Taint{
				{Key: "example.com/gpu", Value: "yes", Effect: corev1.TaintEffectNoSchedule},
				{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoExecute},
			},
		},
		Status: corev1.NodeStatus{Allocatable: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("110")}},
	}
}

// run watches over worker-1 until it is deleted.
func run(t *testing.T) (*fake.Clientset, <-chan error) {
	t.Helper()
	api, _, done := runWithFile(t)
	return api, done
}

// runWithFile is run, and returns the file for Restore, too.
func runWithFile(t *testing.T) (*fake.Clientset, string, <-chan error) {
	t.Helper()
	api := fake.NewClientset(node("worker-1"), node("worker-2"))
	factory := network.Informers(api) // the agent's, which keep parts of objects only
	nodes := factory.Core().V1().Nodes()
	nodes.Informer()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), nodes.Informer().HasSynced) {
		t.Fatal("no sync")
	}
	file := filepath.Join(t.TempDir(), "run", "registration.json")
	r := registration.Registration{Node: document, Nodes: nodes, File: file, Client: func() (kubernetes.Interface, error) { return api, nil }}
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	// The fake API forgets what happens between the list and the watch.
	for i := 0; ; i++ {
		name := fmt.Sprintf("other-%d", i)
		if _, err := api.CoreV1().Nodes().Create(ctx, node(name), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
		_, unknown := nodes.Lister().Get(name)
		if _, missing := os.Stat(file); unknown == nil && missing == nil {
			return api, file, done
		}
	}
}

// restore does what a process does that begins after the one of run.
func restore(t *testing.T, api kubernetes.Interface, file string) error {
	t.Helper()
	return registration.Registration{Node: document, File: file, Client: func() (kubernetes.Interface, error) { return api, nil }}.Restore(t.Context())
}

func remove(t *testing.T, api kubernetes.Interface, name string) {
	t.Helper()
	if err := api.CoreV1().Nodes().Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestADeletedNodeIsRegisteredAgain(t *testing.T) {
	api, done := run(t)
	var attempts atomic.Int32
	api.PrependReactor("create", "nodes", func(clienttesting.Action) (bool, runtime.Object, error) {
		if attempts.Add(1) == 1 {
			return true, nil, errors.New("the API server is restarting")
		}
		return false, nil, nil
	})
	remove(t, api, "worker-1")
	if err := <-done; !errors.Is(err, registration.ErrDeleted) {
		t.Fatal(err)
	}
	got, err := api.CoreV1().Nodes().Get(t.Context(), "worker-1", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got.Spec.PodCIDR != "10.244.1.0/24" || len(got.Spec.PodCIDRs) != 1 || got.Spec.Unschedulable {
		t.Errorf("spec %+v", got.Spec)
	}
	if pods := got.Status.Allocatable.Pods().Value(); pods != 110 {
		t.Errorf("room for %d pods", pods)
	}
	if len(got.Spec.Taints) != 2 || got.Spec.Taints[0].Key != "example.com/gpu" || got.Spec.Taints[1].Key != "node.cloudprovider.kubernetes.io/uninitialized" {
		t.Errorf("taints %v", got.Spec.Taints)
	}
	if len(got.Labels) != 2 || got.Labels["example.com/disk"] != "fast" || got.Labels[names.LabelRole] != "worker" {
		t.Errorf("labels %v", got.Labels)
	}
}

func TestTheNextProcessRegistersADeletedNode(t *testing.T) {
	api, file, _ := runWithFile(t)
	next := fake.NewClientset(node("worker-2")) // as if the process had ended before it could do anything
	if err := restore(t, next, file); err != nil {
		t.Fatal(err)
	}
	got, err := next.CoreV1().Nodes().Get(t.Context(), "worker-1", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got.Spec.PodCIDR != "10.244.1.0/24" || len(got.Spec.PodCIDRs) != 1 || len(got.Spec.Taints) != 2 || got.Labels[names.LabelRole] != "worker" || got.UID != "" {
		t.Errorf("%+v", got)
	}
	if pods := got.Status.Allocatable.Pods().Value(); pods != 110 {
		t.Errorf("room for %d pods", pods)
	}

	api.ClearActions()
	if err := restore(t, api, file); err != nil {
		t.Error(err)
	}
	for _, action := range api.Actions() {
		if action.GetVerb() == "create" {
			t.Errorf("of a node that exists: %v", action)
		}
	}
	if err := restore(t, fake.NewClientset(), file+".absent"); err != nil {
		t.Errorf("at the first start: %v", err)
	}
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := restore(t, next, file); err == nil {
		t.Error("Restore accepted a damaged file")
	}
}

func TestAnObjectThatSomebodyElseReplacedIsKept(t *testing.T) {
	api, done := run(t)
	other := node("worker-1")
	other.UID = "2"
	if _, err := api.CoreV1().Nodes().Update(t.Context(), other, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, registration.ErrDeleted) {
		t.Fatal(err)
	}
	created := func(action clienttesting.Action) bool {
		create, ok := action.(clienttesting.CreateAction)
		return ok && action.GetVerb() == "create" && create.GetObject().(*corev1.Node).Name == "worker-1"
	}
	if slices.ContainsFunc(api.Actions(), created) {
		t.Error("created it")
	}
}

func TestOtherNodesMayBeDeleted(t *testing.T) {
	api, done := run(t)
	remove(t, api, "worker-2")
	select {
	case err := <-done:
		t.Errorf("ended: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
}
