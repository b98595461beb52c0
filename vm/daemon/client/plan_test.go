package client_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/machine"
)

// carriedOut runs an operation and returns the IDs of the steps that it began, in
// that order. It fails the test if a step began before a step that it comes after
// was done.
func carriedOut(t *testing.T, plan []cluster.Step, operation func(context.Context, func(daemonapi.Event)) error) []string {
	t.Helper()
	after, begun := map[string][]string{}, []string{}
	for _, step := range plan {
		after[step.ID()] = step.After
	}
	if err := operation(t.Context(), func(e daemonapi.Event) {
		if e.Failure != nil {
			t.Errorf("failed: %+v", e.Failure)
		}
		if e.Step == "" || slices.Contains(begun, e.Step) {
			return
		}
		for _, id := range after[e.Step] {
			if !slices.Contains(begun, id) {
				t.Errorf("%s began before %s", e.Step, id)
			}
		}
		begun = append(begun, e.Step)
	}); err != nil {
		t.Fatal(err)
	}
	return begun
}

// transition applies spec and compares what a dry run printed with what was done,
// and with what the machines saw.
func (r *rig) transition(t *testing.T, spec cluster.Spec, want ...string) {
	t.Helper()
	plan, err := r.client.Plan(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	var printed []string
	for _, step := range plan {
		printed = append(printed, step.ID())
	}
	for _, id := range want {
		if !slices.Contains(printed, id) {
			t.Errorf("the dry run %v lacks %q", printed, id)
		}
	}
	r.mu.Lock()
	r.asked = nil
	r.mu.Unlock()
	done := carriedOut(t, plan, func(ctx context.Context, event func(daemonapi.Event)) error {
		return r.client.Apply(ctx, spec, event)
	})
	slices.Sort(printed)
	slices.Sort(done)
	if !slices.Equal(printed, done) {
		t.Errorf("the dry run printed\n%s\nand this was done\n%s", strings.Join(printed, "\n"), strings.Join(done, "\n"))
	}
	r.compareWithDriver(t, printed)
	if plan, err := r.client.Plan(t.Context(), spec); err != nil || len(plan) != 0 {
		t.Errorf("left to do: %v, %v", plan, err)
	}
	if status, err := r.client.Status(t.Context()); err != nil || status.Phase != "running" || len(status.Nodes) != len(cluster.Nodes(spec, nil)) {
		t.Errorf("status %s with %d nodes, %v", status.Phase, len(status.Nodes), err)
	}
}

// compareWithDriver compares the steps that a driver carries out with its calls.
func (r *rig) compareWithDriver(t *testing.T, steps []string) {
	t.Helper()
	for i, id := range slices.Clone(steps) {
		if name, ok := strings.CutPrefix(id, "restart "); ok {
			steps[i] = "start " + name
		}
		if name, ok := strings.CutPrefix(id, "replace "); ok {
			steps[i] = "start " + name
			steps = append(steps, "create "+name, "delete "+name)
		}
	}
	slices.Sort(steps)
	calls := slices.DeleteFunc(slices.Clone(steps), func(id string) bool {
		action, _, _ := strings.Cut(id, " ")
		return !slices.Contains([]string{"create", "delete", "grow", "start", "resume"}, action)
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	slices.Sort(r.asked)
	if !slices.Equal(r.asked, calls) {
		t.Errorf("the driver was asked to %v, the plan said %v", r.asked, calls)
	}
	for _, id := range steps {
		if name, ok := strings.CutPrefix(id, "delete "); ok {
			if state, _ := r.driver.State(t.Context(), name); state != machine.StateAbsent || !slices.Contains(r.deleted, name) {
				t.Errorf("%s is %s, deleted nodes are %v", name, state, r.deleted)
			}
		}
	}
}

// keepMachines gives every machine of the fake driver a directory, as real drivers
// do: a dry run without a daemon looks for them.
func (r *rig) keepMachines(t *testing.T) {
	t.Helper()
	for _, n := range cluster.Nodes(r.spec, nil) {
		if err := os.MkdirAll(filepath.Join(r.home.Cluster(r.spec.Name).Machines(), n.Name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
}

func TestADryRunPrintsTheStepsThatUpExecutes(t *testing.T) {
	h, images := shortHome(t), imageDir(t)
	r := startRig(t, newEnvironment(), h, small("demo"), images)
	grown := r.spec
	grown.Workers = 3
	three := r.spec
	three.ControlPlanes = 3

	t.Log("create")
	r.transition(t, r.spec, "prepare", "create worker-2", "start control-plane-1", "boot worker-1", "serve", "join worker-1", "wait control-plane-1")
	t.Log("nothing to do")
	r.transition(t, r.spec)
	t.Log("grow workers")
	r.transition(t, grown, "create worker-3", "wait worker-3")
	t.Log("shrink workers")
	r.transition(t, r.spec, "drain worker-3", "delete worker-3")
	t.Log("grow control planes")
	r.transition(t, three, "create control-plane-2", "join control-plane-3")
	t.Log("shrink control planes")
	r.transition(t, r.spec, "drain control-plane-3", "leave control-plane-2", "delete control-plane-2")
	t.Log("one machine killed")
	r.driver.End("worker-1", "signal: killed")
	r.awaitMachine(t, 1, "stopped")
	r.transition(t, r.spec, "start worker-1", "join worker-1")
	t.Log("a node is not Ready")
	r.setReady("worker-2", false)
	time.AfterFunc(500*time.Millisecond, func() { r.setReady("worker-2", true) })
	r.transition(t, r.spec, "serve", "wait worker-2")
	t.Log("grow a paused cluster")
	completed(t, r.client.Pause)
	r.transition(t, grown, "resume control-plane-1", "resume worker-2", "create worker-3", "join worker-1")

	t.Log("restart after a stop, with another image")
	r.spec = grown
	r.stopped(t)
	changeImage(t, images)
	r.keepMachines(t)
	r = startRig(t, r.environment, h, grown, images)
	r.transition(t, grown, "prepare", "start control-plane-1", "boot worker-3", "serve")
	state, err := cluster.ReadState(h.Cluster("demo").State())
	if err != nil || !strings.HasPrefix(state.Image, "sha256:1111") {
		t.Errorf("state %+v, %v", state, err)
	}
}

func TestResumeExecutesItsPlan(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	up(t, r.client, r.spec)
	completed(t, r.client.Pause)
	observed := cluster.Observed{Prepared: true, Open: true, Machines: map[string]machine.State{
		"control-plane-1": machine.StatePaused, "worker-1": machine.StatePaused, "worker-2": machine.StatePaused,
	}}
	plan := cluster.ResumePlan(r.spec, observed)
	done := carriedOut(t, plan, r.client.Resume)
	var want []string
	for _, step := range plan {
		want = append(want, step.ID())
	}
	slices.Sort(want)
	slices.Sort(done)
	if !slices.Equal(done, want) {
		t.Errorf("done %v, want %v", done, want)
	}
}

// awaitMachine waits until the status shows the machine of node i in a state.
func (r *rig) awaitMachine(t *testing.T, i int, state string) {
	t.Helper()
	for {
		status, err := r.client.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if status.Nodes[i].Machine == state && status.Nodes[i].MachineMessage != "" {
			return
		}
	}
}

func (w *environment) setReady(name string, ready bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notReady[name] = !ready
}
