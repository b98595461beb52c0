package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/internal/snapshot/snapshottest"
	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/driver"
)

// completed runs an operation and returns the phases that ended, by node, and its
// last message.
func completed(t *testing.T, operation func(context.Context, func(daemonapi.Event)) error) (phases []string, message string) {
	t.Helper()
	err := operation(t.Context(), func(e daemonapi.Event) {
		if e.State == daemonapi.StateDone && !e.Done {
			phases = append(phases, strings.TrimSpace(e.Node+" "+string(e.Phase)))
		}
		message = e.Message
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(phases)
	return phases, message
}

// machines returns the states that a status shows.
func (r *rig) machines(t *testing.T) (phase string, states []string) {
	t.Helper()
	status, err := r.client.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range status.Nodes {
		states = append(states, n.Machine)
	}
	return status.Phase, states
}

// counts returns how many clocks were set and how many machines have booted.
func (w *environment) counts() (clocks, boots int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.clocks, w.boots
}

func (r *rig) wantMachines(t *testing.T, phase string, states ...string) {
	t.Helper()
	gotPhase, got := r.machines(t)
	if gotPhase != phase || !slices.Equal(got, states) {
		t.Errorf("the cluster is %s, its machines are %v; want %s, %v", gotPhase, got, phase, states)
	}
}

func TestPauseFreezesAllMachinesAndResumeSetsTheirClocks(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	up(t, r.client, r.spec)
	clocks, boots := r.counts()
	phases, _ := completed(t, r.client.Pause)
	if want := []string{"control-plane-1 pause", "worker-1 pause", "worker-2 pause"}; !slices.Equal(phases, want) {
		t.Errorf("pause: %v, want %v", phases, want)
	}
	r.wantMachines(t, "paused", "paused", "paused", "paused")
	if all, err := client.List(t.Context(), r.home); err != nil || len(all) != 1 || all[0].Phase != "paused" || all[0].APIReady || all[0].Nodes[0].Agent {
		t.Errorf("list %+v, %v", all, err)
	}
	if _, message := completed(t, r.client.Pause); message != "already paused" {
		t.Errorf("second pause: %q", message)
	}

	phases, _ = completed(t, r.client.Resume)
	for _, want := range []string{"control-plane-1 resume", "worker-1 resume", "worker-2 resume", "control-plane", "worker-2 ready"} {
		if !slices.Contains(phases, want) {
			t.Errorf("resume: no %q among %v", want, phases)
		}
	}
	if slices.Contains(phases, "worker-1 boot") {
		t.Errorf("resume boots: %v", phases)
	}
	r.wantMachines(t, "running", "running", "running", "running")
	if set, booted := r.counts(); set-clocks != 3 || booted != boots {
		t.Errorf("%d clocks were set, want 3; %d machines have booted, want none", set-clocks, booted-boots)
	}
	if _, message := completed(t, r.client.Resume); message != "not paused" {
		t.Errorf("second resume: %q", message)
	}
}

func TestMachinesThatAFullDiskStoppedAreShownAndResumed(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	up(t, r.client, r.spec)
	clocks, boots := r.counts()
	r.driver.Stall("worker-1", driver.StallNoSpace)
	r.driver.Stall("worker-2", driver.StallDiskError)
	status, err := r.client.Status(t.Context())
	if err != nil || status.Phase != "degraded" || len(status.Problems) != 2 ||
		!strings.Contains(status.Problems[0], "worker-1 is halted: the host's disk is full") ||
		!strings.Contains(status.Problems[1], "worker-2 is halted: the host cannot read or write its disk") {
		t.Errorf("%s, problems %q, %v", status.Phase, status.Problems, err)
	}
	// This host has room, so the first continues by itself.
	for deadline := time.Now().Add(30 * time.Second); r.driver.Stalled("worker-1") != "" && time.Now().Before(deadline); {
		time.Sleep(50 * time.Millisecond)
	}
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if set, _ := r.counts(); set > clocks {
			break
		}
	}
	if set, booted := r.counts(); set-clocks != 1 || booted != boots {
		t.Errorf("%d clocks were set, want 1; %d machines have booted, want none", set-clocks, booted-boots)
	}
	r.wantMachines(t, "degraded", "running", "running", "paused")
	// The user must resume the other one.
	up(t, r.client, r.spec)
	r.wantMachines(t, "running", "running", "running", "running")
}

func TestRequestsToAPausedClusterFailAtOnce(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	up(t, r.client, r.spec)
	status, err := r.client.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	open, err := net.Dial("tcp", strings.TrimPrefix(status.Server, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = open.Close() }()
	completed(t, r.client.Pause)
	for what, ask := range map[string]func() error{
		"status of a node": func() error { _, err := r.client.Node("worker-1").Status(t.Context()); return err },
		"logs": func() error {
			_, err := r.client.Node("worker-1").Logs(t.Context(), "kubelet", 0, false)
			return err
		},
		"rotation": func() error { return r.client.RotateSecrets(t.Context(), ignore) },
		"restore":  func() error { return r.restore(t, snapshottest.Snapshot(t)) },
	} {
		var failure *daemonapi.Failure
		if err := ask(); !errors.As(err, &failure) || failure.Cause != "cluster \"demo\" is paused: run `skiff resume demo` first" || failure.Hint != "" {
			t.Errorf("%s: %v, %+v", what, err, failure)
		}
	}
	late, err := net.Dial("tcp", strings.TrimPrefix(status.Server, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	for what, conn := range map[string]net.Conn{"open": open, "new": late} {
		if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("a connection to the API that is %s: %d bytes, %v", what, n, err)
		} else if !errors.Is(err, io.EOF) {
			t.Logf("a connection to the API that is %s: %v", what, err)
		}
	}
	completed(t, r.client.Resume)
	up(t, r.client, r.spec)
}

func TestUpResumesAPausedClusterAndUpdatesIt(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	up(t, r.client, r.spec)
	r.driver.End("worker-1", "signal: killed")
	completed(t, r.client.Pause)
	r.wantMachines(t, "paused", "paused", "stopped", "paused")
	more := r.spec
	more.Workers = 3
	steps, err := r.client.Plan(t.Context(), more)
	if err != nil {
		t.Fatal(err)
	}
	var plan []string
	for _, step := range steps {
		plan = append(plan, step.String())
	}
	for _, want := range []string{"resume control-plane-1 (paused)", "resume worker-2 (paused)", "start worker-3 (absent)"} {
		if !slices.Contains(plan, want) {
			t.Errorf("the plan %v lacks %s", plan, want)
		}
	}
	_, boots := r.counts()
	up(t, r.client, more)
	r.wantMachines(t, "running", "running", "running", "running", "running")
	if _, booted := r.counts(); booted != boots+2 {
		t.Errorf("%d machines have booted, want 2", booted-boots)
	}
}

func TestResumeStartsNoMachine(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	up(t, r.client, r.spec)
	r.driver.End("worker-1", "signal: killed")
	completed(t, r.client.Pause)
	completed(t, r.client.Resume)
	r.wantMachines(t, "degraded", "running", "stopped", "running")
}

// A sandbox that is killed while it is frozen ends only when it is resumed.
func TestUpStartsAMachineThatEndsWhenItIsResumed(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	up(t, r.client, r.spec)
	completed(t, r.client.Pause)
	var once sync.Once
	r.driver.Fail = func(call, name string) error {
		if call == "resume" && name == "worker-1" {
			once.Do(func() { go r.driver.End(name, "signal: killed") })
		}
		return nil
	}
	up(t, r.client, r.spec)
	r.wantMachines(t, "running", "running", "running", "running")
}

func TestPauseFreezesNoMachineIfOneCannotBePaused(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	up(t, r.client, r.spec)
	r.driver.Fail = func(call, name string) error {
		if call == "pause" && name == "worker-2" {
			return fmt.Errorf("%w: use something else", errors.ErrUnsupported)
		}
		return nil
	}
	var failure *daemonapi.Failure
	if err := r.client.Pause(t.Context(), ignore); !errors.As(err, &failure) || !failure.Invalid || !strings.Contains(failure.Cause, "use something else") {
		t.Errorf("pause: %v", err)
	}
	r.wantMachines(t, "running", "running", "running", "running")
}

func TestPauseAndOtherOperationsExcludeEachOther(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	up(t, r.client, r.spec)
	begun, goOn := make(chan struct{}, 3), make(chan struct{})
	r.driver.Fail = func(call, _ string) error {
		if call == "pause" {
			begun <- struct{}{}
			<-goOn
		}
		return nil
	}
	pausing := make(chan error, 2)
	for range 2 {
		go func() { pausing <- r.client.Pause(context.Background(), ignore) }()
	}
	<-begun
	var failure *daemonapi.Failure
	for what, work := range map[string]func() error{
		"up":     func() error { return r.client.Apply(t.Context(), r.spec, ignore) },
		"resume": func() error { return r.client.Resume(t.Context(), ignore) },
		"rotate": func() error { return r.client.RotateSecrets(t.Context(), ignore) },
	} {
		if err := work(); !errors.As(err, &failure) || !strings.Contains(failure.Cause, "being paused") {
			t.Errorf("%s during a pause: %v", what, err)
		}
	}
	close(goOn)
	for range 2 { // the second one joined the first, or found it done
		if err := <-pausing; err != nil {
			t.Error(err)
		}
	}
	r.wantMachines(t, "paused", "paused", "paused", "paused")
}

func TestPauseAndResumeNeedARunningCluster(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	var failure *daemonapi.Failure
	for _, call := range []func(context.Context, func(daemonapi.Event)) error{r.client.Pause, r.client.Resume} {
		if err := call(t.Context(), ignore); !errors.As(err, &failure) || failure.Cause != "the cluster is stopped" {
			t.Errorf("before up: %v", err)
		}
	}
	up(t, r.client, r.spec)
	for _, name := range []string{"control-plane-1", "worker-1", "worker-2"} {
		r.driver.End(name, "signal: killed")
	}
	if err := r.client.Pause(t.Context(), ignore); !errors.As(err, &failure) || failure.Cause != "no machine of the cluster is running" {
		t.Errorf("without machines: %v", err)
	}
	none := client.New(client.Config{Home: shortHome(t), Name: "none"})
	if err := none.Pause(t.Context(), ignore); !errors.Is(err, client.ErrNoDaemon) {
		t.Errorf("without a daemon: %v", err)
	}
	if err := none.Resume(t.Context(), ignore); !errors.Is(err, client.ErrNoDaemon) {
		t.Errorf("without a daemon: %v", err)
	}
}

func TestStopShutsDownAPausedCluster(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	up(t, r.client, r.spec)
	completed(t, r.client.Pause)
	r.stop() // as SIGTERM does
	if err := <-r.ended; err != nil {
		t.Errorf("daemon: %v", err)
	}
	r.ended <- nil
	r.mu.Lock()
	defer r.mu.Unlock()
	slices.Sort(r.turnedOff)
	if want := []string{"control-plane-1", "worker-1", "worker-2"}; !slices.Equal(r.turnedOff, want) {
		t.Errorf("guests that turned themselves off: %v, want %v", r.turnedOff, want)
	}
	if phase, _ := r.machines(t); phase != "stopped" {
		t.Errorf("it is %s", phase)
	}
}

func TestDownRemovesAPausedCluster(t *testing.T) {
	h := shortHome(t)
	r := newRig(t, h, "demo")
	up(t, r.client, r.spec)
	completed(t, r.client.Pause)
	if err := r.client.Down(t.Context(), daemonapi.DownRequest{}, ignore); err != nil {
		t.Fatal(err)
	}
	r.ended <- <-r.ended
	if entries, err := os.ReadDir(h.Clusters()); err != nil || len(entries) != 0 {
		t.Errorf("left: %v, %v", entries, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.turnedOff) > 0 {
		t.Errorf("guests were asked to turn themselves off: %v", r.turnedOff)
	}
}

func TestSeveralControlPlanesAreReachedAfterAResume(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	r.spec.ControlPlanes = 3
	up(t, r.client, r.spec)
	completed(t, r.client.Pause)
	completed(t, r.client.Resume)
	r.wantMachines(t, "running", slices.Repeat([]string{"running"}, 5)...)
	var out bytes.Buffer
	if code, err := r.client.Node("control-plane-3").Exec(t.Context(), nodeapi.ExecRequest{Args: []string{"echo", "hello"}}, client.Streams{Stdout: &out}); err != nil || code != 7 {
		t.Errorf("exec: %d, %v", code, err)
	}
}
