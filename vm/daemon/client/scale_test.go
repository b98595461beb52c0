package client_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-dev/skiff/controlplane/controlapi"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// demand is how many nodes the pods of a cluster need.
type demand struct {
	nodes int
	// needed has why a node has to stay, by name.
	needed map[string]string
	last   controlapi.RoomRequest
}

// answer answers as if the first nodes were needed, as many as there are pods.
func (d *demand) answer(r controlapi.RoomRequest) controlapi.Room {
	d.last = r
	if len(r.Groups) == 0 {
		return controlapi.Room{}
	}
	group := r.Groups[0]
	has := 5 - len(group.Fresh)
	if missing := d.nodes - has; missing > 0 {
		return controlapi.Room{Needs: []controlapi.Need{{Group: group.Name, Nodes: missing, Pods: []controlapi.PodReference{{Namespace: "default", Name: "web", UID: "1"}}}}}
	}
	var room controlapi.Room
	for _, name := range r.Candidates {
		s := controlapi.Spare{Node: name, Needed: d.needed[name]}
		if _, index, _ := nodeconfig.SplitName(name); index <= d.nodes && s.Needed == "" {
			s.Needed = "it is used"
		}
		room.Spare = append(room.Spare, s)
	}
	return room
}

// scaled is a spec with 1 to 5 workers.
func scaled() cluster.Spec {
	spec := small("demo")
	spec.ControlPlanes, spec.Workers, spec.WorkersSpan = 1, 1, cluster.Span{Min: 1, Max: 5}
	return spec
}

func scaleEnvironment(d *demand) *environment {
	w := newEnvironment()
	w.scale, w.room = 300*time.Millisecond, d.answer
	return w
}

func newScaleRig(t *testing.T, d *demand) *rig {
	t.Helper()
	r := startRig(t, scaleEnvironment(d), shortHome(t), scaled(), imageDir(t))
	up(t, r.client, r.spec)
	return r
}

// want changes how many nodes pods need.
func (r *rig) want(d *demand, nodes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d.nodes = nodes
}

// awaitWorkers waits until a number of workers is desired, all nodes are Ready and nothing is
// unfinished.
func (r *rig) awaitWorkers(t *testing.T, count int) daemonapi.ClusterStatus {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		status, err := r.client.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		state, err := cluster.ReadState(r.home.Cluster("demo").State())
		if err != nil {
			t.Fatal(err)
		}
		added, removed, drained := state.Unfinished()
		unfinished := len(added)+len(removed)+len(drained) > 0 || slices.ContainsFunc(status.Scalings, func(s daemonapi.Scaling) bool { return s.Ended.IsZero() })
		if state.Spec.Workers == count && status.Phase == "running" && len(state.Machines) == count+1 && !unfinished {
			return status
		}
		if time.Now().After(deadline) {
			t.Fatalf("workers %d, want %d; machines %+v; phase %s; %+v", state.Spec.Workers, count, state.Machines, status.Phase, status.Scalings)
		}
	}
}

func TestPodsThatDoNotFitGetNodesWhichGoAgain(t *testing.T) {
	var d demand
	r := newScaleRig(t, &d)
	r.want(&d, 3)
	status := r.awaitWorkers(t, 3)
	first := status.Scalings[0]
	if first.Action != "add" || !slices.Equal(first.Nodes, []string{"worker-2", "worker-3"}) || first.Failure != "" || first.Reason != "pod default/web does not fit" {
		t.Errorf("%+v", first)
	}
	if want := []daemonapi.ScaledGroup{{Group: "worker", Nodes: 3, Min: 1, Max: 5}}; !slices.Equal(status.Scaled, want) {
		t.Errorf("%+v", status.Scaled)
	}

	t.Log("up with the same file, and from the cluster's settings, keeps them")
	up(t, r.client, scaled())
	r.awaitWorkers(t, 3)

	t.Log("never more than the maximum")
	r.want(&d, 9)
	r.awaitWorkers(t, 5)

	r.want(&d, 2)
	r.awaitWorkers(t, 2)
	r.want(&d, 0)
	r.awaitWorkers(t, 1)
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Contains(r.reported, "Pod web TriggeredScaleUp") || !slices.Contains(r.reported, "Node worker-5 ScaleDown") {
		t.Errorf("events %q", r.reported)
	}
	if slices.Contains(r.deleted, "worker-1") {
		t.Error("the group is below its minimum")
	}
	if group := d.last.Groups[0]; group.Model != "worker-1" || !group.SameGroup || group.Size != group.ModelSize || group.Labels["skiff.dev/role"] != "worker" || group.Fresh[len(group.Fresh)-1].Name != "worker-5" {
		t.Errorf("%+v", group)
	}
}

func TestARangeChangesTheNumberOfNodesOnlyIfItMust(t *testing.T) {
	var d demand
	r := newScaleRig(t, &d)
	wider := scaled()
	wider.WorkersSpan = cluster.Span{Min: 3, Max: 5}
	up(t, r.client, wider)
	r.awaitWorkers(t, 3)
	fixed := scaled()
	fixed.Workers, fixed.WorkersSpan = 2, cluster.Span{}
	up(t, r.client, fixed)
	r.awaitWorkers(t, 2)
	up(t, r.client, scaled())
	steps, err := r.client.Plan(t.Context(), scaled())
	if err != nil || len(steps) != 0 {
		t.Errorf("%v, %v", steps, err)
	}
	r.awaitWorkers(t, 1)
}

func TestNodesStay(t *testing.T) {
	for what, prepare := range map[string]func(*rig, *demand){
		"with local volumes": func(r *rig, _ *demand) { r.claims["worker-2"] = "data" },
		"that are needed":    func(_ *rig, d *demand) { d.needed = map[string]string{"worker-2": "the annotation"} },
		"cordoned by a user": func(r *rig, _ *demand) { r.objects["worker-2"].Spec.Unschedulable = true },
	} {
		var d demand
		r := newScaleRig(t, &d)
		r.want(&d, 2)
		r.awaitWorkers(t, 2)
		r.mu.Lock()
		prepare(r, &d)
		d.nodes = 1
		r.mu.Unlock()
		time.Sleep(1500 * time.Millisecond)
		if status := r.awaitWorkers(t, 2); len(status.Scalings) != 1 {
			t.Errorf("%s: %+v", what, status.Scalings)
		}
	}
}

func TestANodeWhosePodsDoNotLeaveStays(t *testing.T) {
	var d demand
	r := newScaleRig(t, &d)
	r.want(&d, 2)
	r.awaitWorkers(t, 2)
	r.mu.Lock()
	r.blocked = []corev1.Pod{{
		ObjectMeta: metav1.ObjectMeta{Name: "db-0", Namespace: "default", UID: "1", OwnerReferences: []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "db", Controller: new(true)}}},
		Spec:       corev1.PodSpec{NodeName: "worker-2"},
	}}
	d.nodes = 1
	r.mu.Unlock()
	var last daemonapi.Scaling
	for deadline := time.Now().Add(time.Minute); last.Failure == ""; time.Sleep(20 * time.Millisecond) {
		status, err := r.client.Status(t.Context())
		if err != nil || time.Now().After(deadline) {
			t.Fatal(err, status.Scalings)
		}
		last = status.Scalings[len(status.Scalings)-1]
	}
	if !strings.Contains(last.Failure, "protected by the disruption budget default/db") {
		t.Errorf("%+v", last)
	}
	r.awaitWorkers(t, 2)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.objects["worker-2"].Spec.Unschedulable {
		t.Error("the node is still cordoned")
	}
}

func TestANodeThatDoesNotStartIsRemoved(t *testing.T) {
	var d demand
	r := newScaleRig(t, &d)
	r.driver.Fail = func(call, name string) error {
		if call == "start" && name == "worker-2" {
			return errors.New("no room on the host")
		}
		return nil
	}
	r.want(&d, 2)
	var last daemonapi.Scaling
	for deadline := time.Now().Add(time.Minute); last.Failure == ""; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nothing failed")
		}
		if status, err := r.client.Status(t.Context()); err == nil && len(status.Scalings) > 0 {
			last = status.Scalings[0]
		}
	}
	if !strings.Contains(last.Failure, "no room on the host") {
		t.Errorf("%+v", last)
	}
	r.awaitWorkers(t, 1)
}

func TestNothingIsScaledWhileTheClusterIsPaused(t *testing.T) {
	var d demand
	r := newScaleRig(t, &d)
	completed(t, r.client.Pause)
	r.want(&d, 3)
	time.Sleep(time.Second)
	if status, err := r.client.Status(t.Context()); err != nil || len(status.Scalings) != 0 {
		t.Errorf("%+v, %v", status.Scalings, err)
	}
	completed(t, r.client.Resume)
	r.awaitWorkers(t, 3)
}

// interruptAt calls end while a call of the driver for a node is waiting, which then fails.
func (r *rig) interruptAt(t *testing.T, call, node string, begin, end func()) {
	t.Helper()
	stuck, goOn := make(chan struct{}), make(chan struct{})
	r.driver.Fail = func(c, name string) error {
		if c == call && name == node {
			select {
			case stuck <- struct{}{}:
				<-goOn
				return errors.New("killed")
			default:
			}
		}
		return nil
	}
	begin()
	receive(t, stuck)
	time.AfterFunc(100*time.Millisecond, func() { close(goOn) })
	end()
	r.driver.Fail = nil
}

var scaleSteps = []struct {
	call, node string
	from, to   int
}{{"create", "worker-2", 0, 2}, {"start", "worker-2", 0, 2}, {"create", "worker-3", 0, 3}, {"delete", "worker-2", 2, 0}}

// TestScalingInterruptedAtAnyStepEndsInAWholeCluster ends the daemon within the calls of the
// driver, and starts another.
func TestScalingInterruptedAtAnyStepEndsInAWholeCluster(t *testing.T) {
	for _, at := range scaleSteps {
		d := demand{nodes: at.from}
		w, h, images := scaleEnvironment(&d), shortHome(t), imageDir(t)
		r := startRig(t, w, h, scaled(), images)
		up(t, r.client, r.spec)
		r.awaitWorkers(t, max(at.from, 1))
		r.interruptAt(t, at.call, at.node, func() { r.want(&d, at.to) }, func() {
			r.stop()
			if err := <-r.ended; err != nil {
				t.Fatal(err)
			}
			r.ended <- nil
		})
		again := startRig(t, w, h, scaled(), images)
		up(t, again.client, again.spec)
		again.awaitWorkers(t, max(at.to, 1))
	}
}

func TestUserGoesBeforeScaling(t *testing.T) {
	for _, at := range scaleSteps {
		d := demand{nodes: at.from}
		r := newScaleRig(t, &d)
		r.awaitWorkers(t, max(at.from, 1))
		r.interruptAt(t, at.call, at.node, func() { r.want(&d, at.to) }, func() {
			if err := r.client.Restart(t.Context(), "control-plane-1", ignore); err != nil {
				t.Errorf("%+v: %v", at, err)
			}
		})
		r.awaitWorkers(t, max(at.to, 1))
	}
}
