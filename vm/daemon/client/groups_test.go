package client_test

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/machine"
)

func gpu() cluster.Group {
	return cluster.Group{
		Name: "gpu", Count: 2, CPUs: 1, Memory: "600Mi", Labels: map[string]string{"gpu": "yes", "node-role.kubernetes.io/gpu": ""}, Taints: []string{"gpu=yes:NoSchedule"},
	}
}

func (w *environment) object(name string) (labels map[string]string, taints []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	node := w.objects[name]
	if node == nil {
		return nil, nil
	}
	for _, taint := range node.Spec.Taints {
		taints = append(taints, taint.ToString())
	}
	return node.Labels, taints
}

func TestNodeGroupsChangeWhileTheClusterRuns(t *testing.T) {
	h, images := shortHome(t), imageDir(t)
	r := startRig(t, newEnvironment(), h, small("demo"), images)
	r.transition(t, r.spec)
	grouped := r.spec
	grouped.Nodes = []cluster.Group{gpu()}

	t.Log("a new group")
	r.transition(t, grouped, "create gpu-1", "start gpu-2", "label gpu-1")
	if labels, taints := r.object("gpu-1"); !maps.Equal(labels, gpu().Labels) || !slices.Equal(taints, gpu().Taints) {
		t.Errorf("labels %v, taints %v", labels, taints)
	}
	if size := r.sizes["gpu-1"]; size.MemoryMiB != 600 || r.documents["gpu-1"].Network.Address.Addr().String() != "192.168.104.127" {
		t.Errorf("%+v at %v", size, r.documents["gpu-1"].Network.Address)
	}

	t.Log("other labels, and one of the user")
	r.mu.Lock()
	r.objects["gpu-1"].Labels["mine"] = "1"
	r.mu.Unlock()
	other := grouped
	other.Nodes = []cluster.Group{gpu()}
	other.Nodes[0].Labels, other.Nodes[0].Taints = map[string]string{"gpu": "no"}, nil
	r.transition(t, other, "label gpu-1", "label gpu-2")
	if labels, taints := r.object("gpu-1"); !maps.Equal(labels, map[string]string{"gpu": "no", "mine": "1"}) || len(taints) != 0 {
		t.Errorf("labels %v, taints %v", labels, taints)
	}

	t.Log("more memory and larger disks")
	larger := other
	larger.Nodes = slices.Clone(other.Nodes)
	larger.Memory, larger.Nodes[0].Disk = "700Mi", "30Gi"
	r.transition(t, larger, "grow gpu-1", "drain worker-1", "restart control-plane-1", "restart worker-2", "uncordon worker-2")
	if r.sizes["worker-1"].MemoryMiB != 700 || r.sizes["gpu-1"].MemoryMiB != 600 || !slices.Contains(r.grown, "gpu-2") {
		t.Errorf("sizes %v, grown %v", r.sizes, r.grown)
	}
	for name, node := range r.objects {
		if node.Spec.Unschedulable {
			t.Errorf("%s is still cordoned", name)
		}
	}

	t.Log("no workers")
	alone := r.spec
	alone.Memory, alone.Workers = "700Mi", 0
	r.transition(t, alone, "label control-plane-1", "delete worker-1", "delete gpu-1")
	if _, taints := r.object("control-plane-1"); len(taints) != 0 {
		t.Errorf("the only node has the taints %v", taints)
	}
	t.Log("one worker")
	alone.Workers = 1
	r.transition(t, alone, "create worker-1", "label control-plane-1")
	if _, taints := r.object("control-plane-1"); !slices.Equal(taints, []string{cluster.RoleTaint}) {
		t.Errorf("the control plane has the taints %v", taints)
	}
}

func TestNodesAreRemovedAndReplacedByName(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	r.spec.ControlPlanes, r.spec.Workers = 3, 2
	up(t, r.client, r.spec)
	if err := r.client.RemoveNodes(t.Context(), daemonapi.NodesRequest{Names: []string{"worker-1"}}, ignore); err != nil {
		t.Fatal(err)
	}
	spec, err := r.client.Spec()
	if err != nil || spec.Workers != 1 || !slices.Contains(r.deleted, "worker-1") || slices.Contains(r.deleted, "worker-2") {
		t.Errorf("workers %d, deleted %v, %v", spec.Workers, r.deleted, err)
	}
	if plan, err := r.client.Plan(t.Context(), spec); err != nil || len(plan) > 0 {
		t.Errorf("left to do: %v, %v", plan, err)
	}
	spec.Workers = 2
	r.transition(t, spec, "create worker-1")

	r.driver.SetDisk("control-plane-2", "old data")
	if err := r.client.ReplaceNodes(t.Context(), daemonapi.NodesRequest{Names: []string{"control-plane-2", "worker-2"}}, ignore); err != nil {
		t.Fatal(err)
	}
	if r.driver.Disk("control-plane-2") != "" || !slices.Contains(r.left, "remove control-plane-2") || !slices.Contains(r.deleted, "control-plane-2") {
		t.Errorf("disk %q, left %v, deleted %v", r.driver.Disk("control-plane-2"), r.left, r.deleted)
	}
	if etcd := r.documents["control-plane-2"].Etcd; !etcd.Join || len(etcd.Members) != 3 {
		t.Errorf("the new control plane would not join: %+v", etcd)
	}
	if plan, err := r.client.Plan(t.Context(), spec); err != nil || len(plan) > 0 {
		t.Errorf("left to do: %v, %v", plan, err)
	}
	var failure *daemonapi.Failure
	for _, name := range []string{"control-plane-1", "worker-9", ""} {
		if err := r.client.RemoveNodes(t.Context(), daemonapi.NodesRequest{Names: []string{name}}, ignore); !errors.As(err, &failure) || !failure.Invalid {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestABudgetBlocksTheRemovalOfANodeUntilTheUserForcesIt(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	up(t, r.client, r.spec)
	controller := true
	r.mu.Lock()
	r.blocked = []corev1.Pod{{
		ObjectMeta: metav1.ObjectMeta{Name: "db-0", Namespace: "default", OwnerReferences: []metav1.OwnerReference{{Kind: "StatefulSet", Name: "db", Controller: &controller}}},
		Spec:       corev1.PodSpec{NodeName: "worker-2"},
	}}
	r.mu.Unlock()
	fewer := r.spec
	fewer.Workers = 1
	var failure *daemonapi.Failure
	err := r.client.ApplyDraining(t.Context(), fewer, daemonapi.Draining{Timeout: 50 * time.Millisecond}, ignore)
	if !errors.As(err, &failure) || !strings.Contains(failure.Cause, "pod default/db-0 is protected by the disruption budget default/db") || !strings.Contains(failure.Hint, "--force") {
		t.Fatalf("%+v", err)
	}
	if state, _ := r.driver.State(t.Context(), "worker-2"); state != machine.StateRunning || !r.objects["worker-2"].Spec.Unschedulable {
		t.Errorf("worker-2 is %s", state)
	}
	t.Log("the user wants the node after all")
	r.transition(t, r.spec, "uncordon worker-2")
	if r.objects["worker-2"].Spec.Unschedulable {
		t.Error("worker-2 takes no pods")
	}
	request := daemonapi.NodesRequest{Names: []string{"worker-2"}, Draining: daemonapi.Draining{Timeout: 50 * time.Millisecond, Force: true}}
	if err := r.client.RemoveNodes(t.Context(), request, ignore); err != nil {
		t.Fatal(err)
	}
	if state, _ := r.driver.State(t.Context(), "worker-2"); state != machine.StateAbsent {
		t.Errorf("worker-2 is %s", state)
	}
}

// TestUpFinishesAChangeThatWasInterruptedAtAnyCall ends the daemon at each call of the driver
// and before each request that changes something, of a change of all kinds.
func TestUpFinishesAChangeThatWasInterruptedAtAnyCall(t *testing.T) {
	images := imageDir(t)
	before := small("demo")
	before.Nodes = []cluster.Group{gpu()}
	after := small("demo")
	after.Workers, after.Memory = 1, "600Mi"
	after.Nodes = []cluster.Group{{Name: "db", Count: 1, Disk: "10Gi", Labels: map[string]string{"db": ""}, Taints: []string{"db:NoExecute"}}}
	calls := changeWithCalls(t, images, before, after, -1)
	if len(calls) < 12 {
		t.Fatalf("only %d calls: %v", len(calls), calls)
	}
	for stopAt := range calls {
		t.Run(strconv.Itoa(stopAt), func(t *testing.T) {
			t.Parallel()
			changeWithCalls(t, images, before, after, stopAt)
		})
	}
}

// changeWithCalls changes a cluster and returns the calls that this takes. At call stopAt,
// unless that is negative, the daemon ends, all calls from then on fail, and another daemon
// finishes the change.
func changeWithCalls(t *testing.T, images string, before, after cluster.Spec, stopAt int) []string {
	t.Helper()
	r := startRig(t, newEnvironment(), shortHome(t), before, images)
	up(t, r.client, before)
	r.stored["control-plane-1"] = []string{loadedImage}
	var mu sync.Mutex
	var calls []string
	killed := errors.New("the daemon was killed")
	call := func(what string) error {
		mu.Lock()
		defer mu.Unlock()
		calls = append(calls, what)
		if stopAt < 0 || len(calls) <= stopAt {
			return nil
		}
		r.stop()
		return killed
	}
	fail := r.driver.Fail
	r.driver.Fail = func(what, name string) error { return errors.Join(fail(what, name), call(what+" "+name)) }
	r.mu.Lock()
	r.moment = func() {
		if call("request") != nil {
			panic(http.ErrAbortHandler)
		}
	}
	r.mu.Unlock()
	err := r.client.Apply(t.Context(), after, ignore)
	if stopAt < 0 {
		if err != nil {
			t.Fatal(err)
		}
		return calls
	}
	if err == nil {
		t.Fatalf("%q was not interrupted: %v", calls[len(calls)-1], calls)
	}
	if err := <-r.ended; err != nil {
		t.Fatal(err)
	}
	r.ended <- nil
	r.driver.Fail = fail
	r.mu.Lock()
	r.moment = nil
	r.mu.Unlock()
	r.spec = after
	r.keepMachines(t)
	again := startRig(t, r.environment, r.home, after, images)
	if err := again.client.Apply(t.Context(), after, ignore); err != nil {
		t.Fatalf("stopped at %q: %v", calls[stopAt], err)
	}
	again.complete(t, calls[stopAt], after)
	if got := again.stored["db-1"]; !slices.Equal(got, []string{loadedImage}) {
		t.Errorf("stopped at %q: the new node has the images %q", calls[stopAt], got)
	}
	return calls
}

// complete fails the test if the cluster is not as spec wants it.
func (r *rig) complete(t *testing.T, at string, spec cluster.Spec) {
	t.Helper()
	if plan, err := r.client.Plan(t.Context(), spec); err != nil || len(plan) > 0 {
		t.Errorf("stopped at %q, left to do: %v, %v", at, plan, err)
	}
	want := map[string]bool{}
	for _, n := range cluster.Nodes(spec, nil) {
		want[n.Name] = true
		marks := cluster.MarksOf(spec, n.Name)
		labels, taints := r.object(n.Name)
		if !maps.Equal(labels, marks.Labels) || !slices.Equal(taints, marks.Taints) || r.objects[n.Name].Spec.Unschedulable || r.sizes[n.Name].MemoryMiB != n.Size.MemoryMiB {
			t.Errorf("stopped at %q: %s has the labels %v, the taints %v and the size %+v", at, n.Name, labels, taints, r.sizes[n.Name])
		}
	}
	for name := range r.nodes {
		if state, _ := r.driver.State(t.Context(), name); !want[name] || state != machine.StateRunning {
			t.Errorf("stopped at %q: %s is %s", at, name, state)
		}
	}
}
