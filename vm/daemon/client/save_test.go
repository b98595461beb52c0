package client_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/machine"
)

// saved stops the cluster with its memory and returns the events.
func (r *rig) saved(t *testing.T) []daemonapi.Event {
	t.Helper()
	return r.stoppedWith(t, daemonapi.StopRequest{})
}

// again starts another daemon in the same environment.
func (r *rig) again(t *testing.T) *rig {
	t.Helper()
	return startRig(t, r.environment, r.home, r.spec, r.images)
}

func (r *rig) wantStates(t *testing.T, want ...machine.State) {
	t.Helper()
	var got []machine.State
	for _, name := range []string{"control-plane-1", "worker-1", "worker-2"} {
		state, err := r.driver.State(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, state)
	}
	if !slices.Equal(got, want) {
		t.Errorf("machines are %v, want %v", got, want)
	}
}

// failures returns the causes of failures among events, by node and phase.
func failures(events []daemonapi.Event) []string {
	var all []string
	for _, e := range events {
		if e.Failure != nil {
			all = append(all, strings.TrimSpace(e.Node+" "+string(e.Phase)+": "+e.Failure.Cause))
		}
	}
	return all
}

var allSaved = []machine.State{machine.StateSaved, machine.StateSaved, machine.StateSaved}

func TestStopKeepsTheMemoryAndUpContinues(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	up(t, r.client, r.spec)
	_, boots := r.counts()
	events := r.saved(t)
	if last := events[len(events)-1]; last.Message != "stopped; 24 MiB of memory kept on disk" || len(failures(events)) > 0 {
		t.Errorf("last event %+v, failures %q", last, failures(events))
	}
	r.wantStates(t, allSaved...)
	r.mu.Lock()
	slices.Sort(r.shutdown)
	if want := []string{"sync control-plane-1", "sync worker-1", "sync worker-2"}; !slices.Equal(r.shutdown, want) {
		t.Errorf("nodes did %v, want %v", r.shutdown, want)
	}
	r.mu.Unlock()

	r = r.again(t)
	clocks, _ := r.counts()
	phases, _ := completed(t, func(ctx context.Context, event func(daemonapi.Event)) error {
		return r.client.Apply(ctx, r.spec, event)
	})
	for _, want := range []string{"control-plane-1 resume", "worker-1 resume", "worker-2 resume", "control-plane", "worker-2 ready"} {
		if !slices.Contains(phases, want) {
			t.Errorf("up: no %q among %v", want, phases)
		}
	}
	r.wantMachines(t, "running", "running", "running", "running")
	if set, booted := r.counts(); set-clocks < 3 || booted != boots {
		t.Errorf("%d clocks were set, want 3; %d machines have booted, want none", set-clocks, booted-boots)
	}
	// The nodes may have settings that were current when they were saved.
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		r.mu.Lock()
		reseeded := len(r.seeds)
		r.mu.Unlock()
		if reseeded == 3 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d nodes were told the host's settings, want 3", reseeded)
		}
	}
	r.saved(t)
	r.wantStates(t, allSaved...)
}

func TestStopKeepsTheMemoryOfAPausedCluster(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	up(t, r.client, r.spec)
	completed(t, r.client.Pause)
	r.saved(t)
	r.wantStates(t, allSaved...)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.shutdown) > 0 {
		t.Errorf("paused nodes did %v", r.shutdown)
	}
}

func TestMemoryThatCannotBeKeptIsReportedAndTheClusterShutsDown(t *testing.T) {
	down := []machine.State{machine.StateStopped, machine.StateStopped, machine.StateStopped}
	for _, test := range []struct {
		name    string
		prepare func(t *testing.T, r *rig)
		want    string // part of the failure, empty for none
	}{
		{"the driver keeps none", func(_ *testing.T, r *rig) { r.driver.NoMemory = fmt.Errorf("%w here", errors.ErrUnsupported) }, ""},
		{"a machine shares folders", func(_ *testing.T, r *rig) { r.driver.NoMemory = errors.New("worker-1 shares folders with this host") }, "worker-1 shares folders"},
		{"a machine cannot be paused", func(_ *testing.T, r *rig) { r.failing("pause worker-2") }, "no luck"},
		{"a machine is not saved", func(_ *testing.T, r *rig) { r.failing("save worker-2") }, "no luck"},
		{"the control plane is not saved", func(_ *testing.T, r *rig) { r.failing("save control-plane-1") }, "no luck"},
		{"a fault is active", func(t *testing.T, r *rig) {
			if _, err := r.client.Chaos(t.Context(), daemonapi.FaultRequest{Kind: daemonapi.FaultPause, Nodes: []string{"worker-1"}, Seconds: 600}); err != nil {
				t.Fatal(err)
			}
		}, "the fault pause-1 is active"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, shortHome(t), "demo")
			up(t, r.client, r.spec)
			test.prepare(t, r)
			events := r.saved(t)
			all := strings.Join(failures(events), "\n")
			if test.want == "" && all != "" || !strings.Contains(all, test.want) || test.want != "" && !strings.Contains(all, "save: memory not kept, shutting down instead: ") {
				t.Errorf("failures %q, want %q", all, test.want)
			}
			if last := events[len(events)-1]; last.Message != "stopped" {
				t.Errorf("last event %+v", last)
			}
			r.wantStates(t, down...)
			r.mu.Lock()
			defer r.mu.Unlock()
			if len(r.turnedOff) != 3 {
				t.Errorf("guests that shut down: %v", r.turnedOff)
			}
		})
	}
}

func TestUnusableMemoryIsReportedAndTheNodeBoots(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(t *testing.T, r *rig)
		want   string
		boots  int
	}{
		{"damaged", func(_ *testing.T, r *rig) { r.driver.Damage("worker-1") }, "worker-1: its saved memory was not used: the checksum is wrong; booted instead", 1},
		{"of the control plane", func(_ *testing.T, r *rig) { r.driver.Damage("control-plane-1") }, "control-plane-1: its saved memory was not used: the checksum is wrong; booted instead", 1},
		{"of another image", func(t *testing.T, r *rig) { changeImage(t, r.images) }, "worker-1: its saved memory was not used: the node image has changed; booted instead", 3},
		{"with other settings", func(_ *testing.T, r *rig) { r.spec.GatewayAPI = !r.spec.GatewayAPI }, "control-plane-1: its saved memory was not used: its settings have changed; booted instead", 1},
		{"too old", func(_ *testing.T, r *rig) { r.driver.Age("worker-2", 91*24*time.Hour) }, "worker-2: its saved memory was not used: it was saved more than 90 days ago; booted instead", 1},
		{"of a disk that went on", func(_ *testing.T, r *rig) { r.driver.SetDisk("worker-2", "other") }, "worker-2: its saved memory was not used: its disk has changed since; booted instead", 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, shortHome(t), "demo")
			up(t, r.client, r.spec)
			r.saved(t)
			_, boots := r.counts()
			test.change(t, r)
			r = r.again(t)
			var said []string
			if err := r.client.Apply(t.Context(), r.spec, func(e daemonapi.Event) {
				if e.Phase == daemonapi.PhaseResume && e.State == daemonapi.StateDone && e.Message != "" {
					said = append(said, e.Node+": "+e.Message)
				}
			}); err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(said, test.want) || len(said) != test.boots {
				t.Errorf("up reported %q, want %d lines with %q", said, test.boots, test.want)
			}
			if _, booted := r.counts(); booted-boots != test.boots {
				t.Errorf("%d machines have booted, want %d", booted-boots, test.boots)
			}
			r.wantMachines(t, "running", "running", "running", "running")
		})
	}
}

func TestSizesAndNodesChangeWhileTheMemoryIsKept(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	up(t, r.client, r.spec)
	r.saved(t)
	_, boots := r.counts()
	r.spec.Workers, r.spec.Memory = 1, "768Mi"
	r = r.again(t)
	up(t, r.client, r.spec)
	if _, booted := r.counts(); booted-boots != 2 {
		t.Errorf("%d machines have booted, want 2", booted-boots)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if got := r.sizes["worker-1"]; got.MemoryMiB != 768 {
		t.Errorf("worker-1 has %+v", got)
	}
	if state, _ := r.driver.State(t.Context(), "worker-2"); state != machine.StateAbsent {
		t.Errorf("worker-2 is %s", state)
	}
}

// TestAnInterruptionAtEveryStepLeavesAWholeCluster ends the daemon's machines, as a crash
// does, before each call of the driver while the cluster stops and starts.
func TestAnInterruptionAtEveryStepLeavesAWholeCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("many clusters")
	}
	for _, call := range []string{
		"pause control-plane-1", "pause worker-2", "save control-plane-1", "save worker-1", "save worker-2",
		"wake control-plane-1", "wake worker-1", "wake worker-2",
	} {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, shortHome(t), "demo")
			up(t, r.client, r.spec)
			before := r.driver.Fail
			crash := func(done string) error {
				if done != call {
					return nil
				}
				_ = r.driver.Close()
				return errors.New("the daemon was killed")
			}
			fail := func(call, name string) error { return errors.Join(before(call, name), crash(call+" "+name)) }
			if !strings.HasPrefix(call, "wake") {
				r.driver.Fail = fail
				r.saved(t)
			} else {
				r.saved(t)
				r.driver.Fail = fail
				r = r.again(t)
				if err := r.client.Apply(t.Context(), r.spec, ignore); err == nil {
					t.Error("up succeeded")
				}
				r.stop()
				if err := <-r.ended; err != nil {
					t.Error(err)
				}
				r.ended <- nil
			}
			r.driver.Fail = before
			r = r.again(t)
			up(t, r.client, r.spec)
			r.wantMachines(t, "running", "running", "running", "running")
		})
	}
}

// failing lets one call of the driver fail.
func (r *rig) failing(step string) {
	before := r.driver.Fail
	r.driver.Fail = func(call, name string) error {
		if call+" "+name == step {
			return errors.New("no luck")
		}
		return before(call, name)
	}
}
