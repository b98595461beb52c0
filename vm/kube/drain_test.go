package kube

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

func pod(name string, change func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"},
		Spec:       corev1.PodSpec{NodeName: "worker-1"},
	}
	change(p)
	return p
}

func ownedBy(kind string) func(*corev1.Pod) {
	controller := true
	return func(p *corev1.Pod) {
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: kind, Name: "owner", Controller: &controller}}
	}
}

// cluster is a fake API in which the first eviction is refused by a disruption
// budget.
func cluster(objects ...runtime.Object) *fake.Clientset {
	set := fake.NewClientset(objects...)
	set.Resources = []*metav1.APIResourceList{{GroupVersion: "v1", APIResources: []metav1.APIResource{
		{Name: "pods/eviction", Kind: "Eviction", Group: "policy", Version: "v1"},
	}}}
	refused := false
	set.PrependReactor("create", "pods", func(action clienttesting.Action) (bool, runtime.Object, error) {
		if action.GetSubresource() != "eviction" {
			return false, nil, nil
		}
		if !refused {
			refused = true
			return true, nil, apierrors.NewTooManyRequests("budget", 0)
		}
		eviction := action.(clienttesting.CreateAction).GetObject().(*policyv1.Eviction)
		return true, nil, set.Tracker().Delete(corev1.SchemeGroupVersion.WithResource("pods"), eviction.Namespace, eviction.Name)
	})
	return set
}

func TestDrainEvictsAllPodsButThoseOfDaemonSetsAndStaticOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := cluster(
			&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "worker-1"}},
			&appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: "owner", Namespace: "default"}},
			pod("replica", ownedBy("ReplicaSet")),
			pod("alone", func(*corev1.Pod) {}),
			pod("daemon", ownedBy("DaemonSet")),
			pod("static", func(p *corev1.Pod) { p.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"} }),
			pod("local", func(p *corev1.Pod) {
				p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
			}),
		)
		c := &Client{set: set}
		if err := c.Drain(t.Context(), "worker-1", DrainOptions{}); err != nil {
			t.Fatal(err)
		}
		pods, err := set.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var left []string
		for _, p := range pods.Items {
			left = append(left, p.Name)
		}
		slices.Sort(left)
		if !slices.Equal(left, []string{"daemon", "static"}) {
			t.Errorf("left on the node: %v", left)
		}
		node, err := set.CoreV1().Nodes().Get(t.Context(), "worker-1", metav1.GetOptions{})
		if err != nil || !node.Spec.Unschedulable {
			t.Errorf("the node is not cordoned: %v", err)
		}
	})
}

func TestDrainOfAnUnknownNodeDoesNothing(t *testing.T) {
	if err := (&Client{set: cluster()}).Drain(t.Context(), "worker-9", DrainOptions{}); err != nil {
		t.Error(err)
	}
}

func TestDrainEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := cluster(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "worker-1"}}, pod("alone", func(*corev1.Pod) {}))
		set.PrependReactor("create", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
			return true, nil, apierrors.NewTooManyRequests("budget", 0)
		})
		ctx, cancel := context.WithTimeout(t.Context(), 5*drainPoll)
		defer cancel()
		if err := (&Client{set: set}).Drain(ctx, "worker-1", DrainOptions{}); err == nil {
			t.Error("drained although a budget forbids it")
		}
	})
}

func TestARestartKeepsPodsThatNothingWouldCreateAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := cluster(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "worker-1"}}, pod("replica", ownedBy("ReplicaSet")), pod("alone", func(*corev1.Pod) {}))
		if err := (&Client{set: set}).Drain(t.Context(), "worker-1", DrainOptions{KeepUnmanaged: true}); err != nil {
			t.Fatal(err)
		}
		pods, err := set.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{})
		if err != nil || len(pods.Items) != 1 || pods.Items[0].Name != "alone" {
			t.Errorf("left: %v, %v", pods.Items, err)
		}
	})
}

func TestWhatBlocksADrainIsNamed(t *testing.T) {
	budget := &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Name: "db", Namespace: "default"},
		Spec:       policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "db"}}},
		Status:     policyv1.PodDisruptionBudgetStatus{CurrentHealthy: 1, DesiredHealthy: 1},
	}
	set := cluster(
		&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "worker-1"}}, budget,
		pod("db-0", func(p *corev1.Pod) { p.Labels = map[string]string{"app": "db"} }),
		pod("ends", func(p *corev1.Pod) { now := metav1.Now(); p.DeletionTimestamp, p.Finalizers = &now, []string{"x/y"} }),
	)
	got, err := (&Client{set: set}).Blocking(t.Context(), "worker-1", DrainOptions{})
	if want := "pod default/db-0 is protected by the disruption budget default/db (1 healthy, 1 needed), pod default/ends is still terminating"; err != nil || got != want {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
}
