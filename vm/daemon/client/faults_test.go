package client_test

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/vm/chaos"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/network/impair"
)

// begin begins a fault of one node that lasts until it is cleared.
func (r *rig) begin(t *testing.T, kind daemonapi.FaultKind, node string, p daemonapi.FaultParameters) daemonapi.Fault {
	t.Helper()
	fault, err := r.client.Chaos(t.Context(), daemonapi.FaultRequest{Kind: kind, Nodes: []string{node}, Seconds: 3600, FaultParameters: p})
	if err != nil {
		t.Fatal(err)
	}
	return fault
}

// clearAll ends all faults and returns their IDs.
func (r *rig) clearAll(t *testing.T, ids ...string) []string {
	t.Helper()
	ended, err := r.client.ClearFaults(t.Context(), ids)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range ended {
		names = append(names, f.ID)
	}
	return names
}

func (r *rig) machine(t *testing.T, node string) daemonapi.NodeStatus {
	t.Helper()
	status, err := r.client.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(status.Nodes, func(n daemonapi.NodeStatus) bool { return n.Name == node })
	return status.Nodes[i]
}

func TestFaultsChangeMachinesUntilTheyAreCleared(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	up(t, r.client, r.spec)
	locked := func(read func() any) any {
		r.mu.Lock()
		defer r.mu.Unlock()
		return read()
	}
	worker := netip.MustParseAddr("192.168.104.21")
	for _, c := range []struct {
		kind       daemonapi.FaultKind
		parameters daemonapi.FaultParameters
		read       func() any
		during     any
		after      any
	}{
		{daemonapi.FaultKill, daemonapi.FaultParameters{}, func() any { return r.machine(t, "worker-1").Machine }, "stopped", "running"},
		{daemonapi.FaultPause, daemonapi.FaultParameters{}, func() any { return r.machine(t, "worker-1").Machine }, "paused", "running"},
		{daemonapi.FaultClock, daemonapi.FaultParameters{OffsetSeconds: -600}, func() any {
			return locked(func() any { return r.offsets["worker-1"].Round(time.Minute) })
		}, -10 * time.Minute, time.Duration(0)},
		{daemonapi.FaultDiskFull, daemonapi.FaultParameters{}, func() any { return locked(func() any { return r.full["worker-1"] }) }, true, false},
		{daemonapi.FaultLatency, daemonapi.FaultParameters{DelayMilliseconds: 100}, func() any {
			return locked(func() any { return r.links[worker] })
		}, impair.Link{Delay: 100 * time.Millisecond}, impair.Link{}},
	} {
		fault := r.begin(t, c.kind, "worker-1", c.parameters)
		if got := c.read(); got != c.during {
			t.Errorf("during %s: %v, want %v", c.kind, got, c.during)
		}
		if active, err := r.client.Faults(t.Context()); err != nil || len(active) != 1 || active[0].ID != string(c.kind)+"-1" {
			t.Errorf("active during %s: %+v, %v", c.kind, active, err)
		}
		status, err := r.client.Status(t.Context())
		if err != nil || len(status.Faults) != 1 || status.Faults[0].ID != fault.ID {
			t.Errorf("the status during %s shows %+v, %v", c.kind, status.Faults, err)
		}
		if ended := r.clearAll(t, fault.ID); !slices.Equal(ended, []string{fault.ID}) {
			t.Errorf("%s: ended %v", c.kind, ended)
		}
		if got := c.read(); got != c.after {
			t.Errorf("after %s: %v, want %v", c.kind, got, c.after)
		}
		if _, err := os.Stat(r.home.Cluster("demo").Faults()); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the record of %s: %v", c.kind, err)
		}
	}
	r.wantMachines(t, "running", "running", "running", "running")
}

func TestFaultEndsByItself(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	up(t, r.client, r.spec)
	r.driver.Fail = func(call, name string) error {
		if active, err := r.client.Faults(t.Context()); err != nil || len(active) != 1 {
			t.Errorf("faults during %s %s, which ends one: %+v, %v", call, name, active, err)
		}
		return nil
	}
	fault, err := r.client.Chaos(t.Context(), daemonapi.FaultRequest{Kind: daemonapi.FaultKill, Nodes: []string{"worker-1"}, Seconds: 1})
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if active, err := r.client.Faults(t.Context()); err == nil && len(active) == 0 {
			break
		}
	}
	if time.Now().Before(fault.Until) {
		t.Error("it ended early")
	}
	r.wantMachines(t, "running", "running", "running", "running")
}

func TestAPausedMachineIsNoPausedCluster(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	up(t, r.client, r.spec)
	r.begin(t, daemonapi.FaultPause, "worker-1", daemonapi.FaultParameters{})
	r.wantMachines(t, "degraded", "running", "paused", "running")
	if faults := r.machine(t, "worker-1").Faults; !slices.Equal(faults, []string{"paused (pause-1)"}) {
		t.Errorf("faults %q", faults)
	}
	if _, message := completed(t, r.client.Resume); message != "not paused" {
		t.Errorf("resume: %q", message)
	}
	r.wantMachines(t, "degraded", "running", "paused", "running")
	var failure *daemonapi.Failure
	for what, ask := range map[string]func() error{
		"status of the node": func() error { _, err := r.client.Node("worker-1").Status(t.Context()); return err },
		"pause":              func() error { return r.client.Pause(t.Context(), ignore) },
		"rotation":           func() error { return r.client.RotateSecrets(t.Context(), ignore) },
		"restart":            func() error { return r.client.Restart(t.Context(), "worker-1", ignore) },
	} {
		if err := ask(); !errors.As(err, &failure) || failure.Cause != "the fault pause-1 is active on worker-1 (paused)" || !strings.Contains(failure.Hint, "skiff chaos clear pause-1") {
			t.Errorf("%s: %v, %+v", what, err, failure)
		}
	}
	if _, err := r.client.Node("worker-2").Status(t.Context()); err != nil {
		t.Errorf("another node: %v", err)
	}
}

func TestInvalidFaultsChangeNothing(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	up(t, r.client, r.spec)
	r.begin(t, daemonapi.FaultKill, "worker-1", daemonapi.FaultParameters{})
	for want, request := range map[string]daemonapi.FaultRequest{
		"did you mean":              {Kind: daemonapi.FaultKill, Nodes: []string{"worker-3"}, Seconds: 1},
		"has the fault kill-1":      {Kind: daemonapi.FaultPause, Nodes: []string{"worker-1"}, Seconds: 1},
		"is killed by the fault":    {Kind: daemonapi.FaultPartition, Nodes: []string{"worker-1"}, Seconds: 1},
		"unknown kind of fault":     {Kind: "flood", Nodes: []string{"worker-2"}, Seconds: 1},
		"a fault lasts 1s to 24h0m": {Kind: daemonapi.FaultKill, Nodes: []string{"worker-2"}},
	} {
		var failure *daemonapi.Failure
		if _, err := r.client.Chaos(t.Context(), request); !errors.As(err, &failure) || !failure.Invalid || !strings.Contains(failure.Cause, want) || strings.Contains(failure.Cause, "\n") {
			t.Errorf("%+v: %v, want %q", request, err, want)
		}
	}
	var failure *daemonapi.Failure
	if _, err := r.client.ClearFaults(t.Context(), []string{"pause-1"}); !errors.As(err, &failure) || !failure.Invalid {
		t.Errorf("clear of an unknown fault: %v", err)
	}
	if active, err := r.client.Faults(t.Context()); err != nil || len(active) != 1 {
		t.Errorf("active: %+v, %v", active, err)
	}
	none := client.New(client.Config{Home: shortHome(t), Name: "none"})
	if _, err := none.Chaos(t.Context(), daemonapi.FaultRequest{}); !errors.Is(err, client.ErrNoDaemon) {
		t.Errorf("without a daemon: %v", err)
	}
}

func TestFaultThatCannotBeginIsUndone(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	up(t, r.client, r.spec)
	r.driver.Fail = func(call, name string) error {
		if call == "pause" && name == "worker-2" {
			return errors.New("no")
		}
		return nil
	}
	_, err := r.client.Chaos(t.Context(), daemonapi.FaultRequest{Kind: daemonapi.FaultPause, Nodes: []string{"worker-1", "worker-2"}, Seconds: 60})
	if err == nil || !strings.Contains(err.Error(), "begin the fault pause-1") {
		t.Errorf("%v", err)
	}
	r.wantMachines(t, "running", "running", "running", "running")
	if active, err := r.client.Faults(t.Context()); err != nil || len(active) != 0 {
		t.Errorf("active: %+v, %v", active, err)
	}
}

func TestFaultThatCannotEndIsTriedAgain(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	up(t, r.client, r.spec)
	r.begin(t, daemonapi.FaultPause, "worker-1", daemonapi.FaultParameters{})
	r.driver.Fail = func(call, _ string) error {
		if call == "resume" {
			return errors.New("no way")
		}
		return nil
	}
	if _, err := r.client.ClearFaults(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "no way") {
		t.Errorf("clear: %v", err)
	}
	if active, err := r.client.Faults(t.Context()); err != nil || len(active) != 1 || !strings.Contains(active[0].Problem, "no way") {
		t.Errorf("active: %+v, %v", active, err)
	}
	r.driver.Fail = nil
	if ended := r.clearAll(t); len(ended) != 1 {
		t.Errorf("ended %v", ended)
	}
	r.wantMachines(t, "running", "running", "running", "running")
}

func TestUpEndsFaults(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	up(t, r.client, r.spec)
	r.begin(t, daemonapi.FaultKill, "worker-1", daemonapi.FaultParameters{})
	r.begin(t, daemonapi.FaultPause, "worker-2", daemonapi.FaultParameters{})
	steps, err := r.client.Plan(t.Context(), r.spec)
	if err != nil || len(steps) == 0 || steps[0].String() != "clear (active: kill-1, pause-1)" {
		t.Errorf("plan %v, %v", steps, err)
	}
	up(t, r.client, r.spec)
	r.wantMachines(t, "running", "running", "running", "running")
	if active, err := r.client.Faults(t.Context()); err != nil || len(active) != 0 {
		t.Errorf("active: %+v, %v", active, err)
	}
}

func TestStopEndsFaults(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	up(t, r.client, r.spec)
	r.begin(t, daemonapi.FaultKill, "worker-1", daemonapi.FaultParameters{})
	r.begin(t, daemonapi.FaultPause, "worker-2", daemonapi.FaultParameters{})
	if _, err := r.client.Stop(t.Context(), daemonapi.StopRequest{Shutdown: true}, ignore); err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	slices.Sort(r.turnedOff)
	if want := []string{"control-plane-1", "worker-2"}; !slices.Equal(r.turnedOff, want) {
		t.Errorf("guests that turned themselves off: %v, want %v", r.turnedOff, want)
	}
	if left, err := chaos.Read(r.home.Cluster("demo").Faults()); err != nil || len(left) != 0 {
		t.Errorf("recorded: %+v, %v", left, err)
	}
}

func TestFaultsOfADaemonThatWasKilledHaveEnded(t *testing.T) {
	w, h, images := newEnvironment(), shortHome(t), imageDir(t)
	dir := h.Cluster("demo")
	if err := dir.Create(); err != nil {
		t.Fatal(err)
	}
	left := daemonapi.Fault{ID: "kill-1", Kind: daemonapi.FaultKill, Nodes: []string{"worker-1"}, Until: time.Now().Add(time.Hour)}
	if err := chaos.Write(dir.Faults(), []daemonapi.Fault{left}); err != nil {
		t.Fatal(err)
	}
	r := startRig(t, w, h, small("demo"), images)
	up(t, r.client, r.spec)
	r.wantMachines(t, "running", "running", "running", "running")
	if active, err := r.client.Faults(context.Background()); err != nil || len(active) != 0 {
		t.Errorf("active: %+v, %v", active, err)
	}
	if recorded, err := chaos.Read(dir.Faults()); err != nil || len(recorded) != 0 {
		t.Errorf("recorded: %+v, %v", recorded, err)
	}
}
