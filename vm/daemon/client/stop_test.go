package client_test

import (
	"bytes"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// stopped shuts the cluster down and returns the events.
func (r *rig) stopped(t *testing.T) []daemonapi.Event {
	t.Helper()
	return r.stoppedWith(t, daemonapi.StopRequest{Shutdown: true})
}

func (r *rig) stoppedWith(t *testing.T, request daemonapi.StopRequest) []daemonapi.Event {
	t.Helper()
	var events []daemonapi.Event
	if stopped, err := r.client.Stop(t.Context(), request, func(e daemonapi.Event) { events = append(events, e) }); err != nil || !stopped {
		t.Fatalf("stop: %t, %v", stopped, err)
	}
	if err := <-r.ended; err != nil {
		t.Errorf("daemon: %v", err)
	}
	r.ended <- nil
	return events
}

func TestStopSyncsAllNodesAndShutsControlPlanesDownOneAfterAnother(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	r.spec.ControlPlanes = 3
	up(t, r.client, r.spec)
	events := r.stopped(t)
	if last := events[len(events)-1]; last.Message != "stopped" || last.Failure != nil {
		t.Errorf("last event %+v", last)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.shutdown) != 10 {
		t.Fatalf("shutdown %v", r.shutdown)
	}
	slices.Sort(r.shutdown[:5])
	slices.Sort(r.shutdown[5:7])
	if want := []string{
		"sync control-plane-1", "sync control-plane-2", "sync control-plane-3", "sync worker-1", "sync worker-2",
		"off worker-1 (3)", "off worker-2 (3)", "off control-plane-3 (3)", "off control-plane-2 (2)", "off control-plane-1 (1)",
	}; !slices.Equal(r.shutdown, want) {
		t.Errorf("shutdown %v, want %v", r.shutdown, want)
	}
	if status, err := r.client.Status(t.Context()); err != nil || status.Phase != "stopped" {
		t.Errorf("status %s, %v", status.Phase, err)
	}
}

// TestStopDoesNotWaitForRequestsToNodes stops a cluster whose node is asked for something
// while it shuts down, and does not answer.
func TestStopDoesNotWaitForRequestsToNodes(t *testing.T) {
	var log bytes.Buffer
	w := newEnvironment()
	w.log = slog.New(slog.NewTextHandler(&log, nil))
	r := startRig(t, w, shortHome(t), small("demo"), imageDir(t))
	up(t, r.client, r.spec)
	node := cluster.Nodes(r.spec, nil)[0]
	w.mu.Lock()
	w.silent, w.waits = netip.AddrPortFrom(node.Address.Addr(), nodeconfig.PortNodeAPI).String(), make(chan struct{})
	w.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			if _, err := r.client.Node(node.Name).Exec(t.Context(), nodeapi.ExecRequest{Args: []string{"true"}}, client.Streams{}); err != nil {
				return
			}
		}
	}()
	r.stopped(t)
	<-done
	if strings.Contains(log.String(), "cut off") {
		t.Errorf("the daemon waited for a request to a node that was gone:\n%s", &log)
	}
}

func TestAClusterEndsWithTheProcessThatItExistsFor(t *testing.T) {
	owner := exec.Command("sleep", "600")
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	w := newEnvironment()
	w.owner = owner.Process.Pid
	h := shortHome(t)
	r := startRig(t, w, h, small("demo"), imageDir(t))
	up(t, r.client, r.spec)
	select {
	case err := <-r.ended:
		t.Fatalf("the daemon ended before its owner: %v", err)
	case <-time.After(1500 * time.Millisecond):
	}
	_ = owner.Process.Kill()
	_ = owner.Wait()
	if err := <-r.ended; err != nil {
		t.Errorf("daemon: %v", err)
	}
	r.ended <- nil
	if names, err := h.Names(); err != nil || len(names) > 0 {
		t.Errorf("clusters %v, %v", names, err)
	}
}

func TestStopReportsAMachineThatDidNotShutDown(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	up(t, r.client, r.spec)
	r.mu.Lock()
	r.stays = "worker-2"
	r.mu.Unlock()
	events := r.stopped(t)
	i := slices.IndexFunc(events, func(e daemonapi.Event) bool { return e.Failure != nil })
	if i < 0 || events[i].Node != "worker-2" || events[i].Phase != daemonapi.PhaseStop || !strings.Contains(events[i].Failure.Cause, "did not shut down within 1s") {
		t.Errorf("events %+v", events)
	}
	if last := events[len(events)-1]; !strings.HasSuffix(last.Message, "without a clean shutdown: worker-2") {
		t.Errorf("last event %+v", last)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.turnedOff) != 3 {
		t.Errorf("asked to shut down: %v", r.turnedOff)
	}
}

func TestDownInterruptsAStop(t *testing.T) {
	h := shortHome(t)
	r := newRig(t, h, "demo")
	up(t, r.client, r.spec)
	r.mu.Lock()
	r.stays = "worker-1"
	r.mu.Unlock()
	stopping, begun := make(chan error, 1), make(chan struct{}, 100)
	go func() {
		_, err := r.client.Stop(t.Context(), daemonapi.StopRequest{Shutdown: true}, func(daemonapi.Event) { begun <- struct{}{} })
		stopping <- err
	}()
	<-begun
	if err := r.client.Apply(t.Context(), r.spec, ignore); err == nil || !strings.Contains(err.Error(), "being stopped") {
		t.Errorf("up during a stop: %v", err)
	}
	if err := r.client.Down(t.Context(), daemonapi.DownRequest{}, ignore); err != nil {
		t.Error(err)
	}
	if err := <-stopping; err != nil && !strings.Contains(err.Error(), "taken down") {
		t.Errorf("stop: %v", err)
	}
	r.ended <- <-r.ended
	if entries, err := os.ReadDir(h.Clusters()); err != nil || len(entries) != 0 {
		t.Errorf("left: %v, %v", entries, err)
	}
}

func TestRestartWaitsUntilTheNodesProgramsHaveStartedAgain(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	if err := r.client.Restart(t.Context(), "worker-1", ignore); err == nil || !strings.Contains(err.Error(), "stopped") {
		t.Errorf("restart of a stopped cluster: %v", err)
	}
	up(t, r.client, r.spec)
	var phases []string
	if err := r.client.Restart(t.Context(), "worker-1", func(e daemonapi.Event) {
		if e.State == daemonapi.StateDone && !e.Done {
			phases = append(phases, e.Node+" "+string(e.Phase))
		}
	}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"worker-1 boot", "worker-1 ready"}; !slices.Equal(phases, want) {
		t.Errorf("phases %v, want %v", phases, want)
	}
	r.mu.Lock()
	if r.started["worker-1"].IsZero() || !r.started["worker-2"].IsZero() {
		t.Errorf("restarted %v", r.started)
	}
	r.mu.Unlock()
	var failure *daemonapi.Failure
	if err := r.client.Restart(t.Context(), "worker-9", ignore); !errors.As(err, &failure) || !failure.Invalid {
		t.Errorf("restart of a node that does not exist: %v", err)
	}
	completed(t, r.client.Pause)
	if err := r.client.Restart(t.Context(), "worker-1", ignore); !errors.As(err, &failure) || !strings.Contains(failure.Cause, "is paused") {
		t.Errorf("restart of a paused node: %v", err)
	}
	none := client.New(client.Config{Home: shortHome(t), Name: "none"})
	if err := none.Restart(t.Context(), "worker-1", ignore); !errors.Is(err, client.ErrNoDaemon) {
		t.Errorf("without a daemon: %v", err)
	}
}

func TestADeletedSocketIsCreatedAgain(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	up(t, r.client, r.spec)
	_, boots := r.counts()
	socket := r.home.Cluster("demo").Socket()
	if err := os.Remove(socket); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); !answers(socket); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the daemon does not answer")
		}
	}
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket %v, %v", info, err)
	}
	r.wantMachines(t, "running", "running", "running", "running")
	if _, booted := r.counts(); booted != boots {
		t.Errorf("%d machines have booted", booted-boots)
	}
}
