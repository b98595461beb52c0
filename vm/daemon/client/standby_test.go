package client_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// newSleepyRig starts a cluster that is paused when nobody has used it for a moment.
func newSleepyRig(t *testing.T) *rig {
	t.Helper()
	w := newEnvironment()
	w.idle = 100 * time.Millisecond
	spec := small("demo")
	spec.Pause.Idle = "15m"
	r := startRig(t, w, shortHome(t), spec, imageDir(t))
	up(t, r.client, r.spec)
	return r
}

// awaitSleep waits until the cluster is paused because nobody uses it.
func (r *rig) awaitSleep(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		status, err := r.client.Status(t.Context())
		if err == nil && status.Phase == "paused" && status.WakesOnUse {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the cluster is %s, wakes on use: %v, %v", status.Phase, status.WakesOnUse, err)
		}
	}
}

// askVersion asks the cluster's API for its version, as kubectl does.
func (r *rig) askVersion(t *testing.T) (string, error) {
	t.Helper()
	content, err := r.client.Kubeconfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(content)
	if err != nil {
		t.Fatal(err)
	}
	connections, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	defer utilnet.CloseIdleConnectionsFor(connections.Transport)
	client, err := kubernetes.NewForConfigAndClient(config, connections)
	if err != nil {
		t.Fatal(err)
	}
	version, err := client.Discovery().ServerVersion()
	if err != nil {
		return "", err
	}
	return version.GitVersion, nil
}

// apiAsks returns how often the readiness of API servers was asked for.
func (r *rig) apiAsks() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asks
}

func TestAnUnusedClusterIsPausedAndARequestWakesIt(t *testing.T) {
	r := newSleepyRig(t)
	r.awaitSleep(t)
	r.wantMachines(t, "paused", "paused", "paused", "paused")
	clocks, boots := r.counts()
	asks := r.apiAsks()
	time.Sleep(300 * time.Millisecond) // nothing in the daemon wakes it
	if now := r.apiAsks(); now != asks {
		t.Errorf("the API was asked %d times while the cluster was asleep", now-asks)
	}
	r.awaitSleep(t)

	version, err := r.askVersion(t)
	if err != nil || version != "v1.36.3" {
		t.Fatalf("the first request: %v, %v", version, err)
	}
	if set, booted := r.counts(); set-clocks != 3 || booted != boots {
		t.Errorf("%d clocks were set, want 3; %d machines have booted, want none", set-clocks, booted-boots)
	}
	r.awaitSleep(t)
}

// connect connects to the API's port.
func (r *rig) connect(t *testing.T) net.Conn {
	t.Helper()
	status, err := r.client.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(status.Server, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestAConnectionKeepsAClusterAwake(t *testing.T) {
	r := newSleepyRig(t)
	conn := r.connect(t)
	for phase := ""; phase != "running"; { // it may have been asleep
		status, err := r.client.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		phase = status.Phase
	}
	for range 10 {
		time.Sleep(50 * time.Millisecond)
		if status, err := r.client.Status(t.Context()); err != nil || status.Phase != "running" {
			t.Fatalf("the cluster is %s while a connection is open, %v", status.Phase, err)
		}
	}
	_ = conn.Close()
	r.awaitSleep(t)
}

func TestCommandsWakeACluster(t *testing.T) {
	r := newSleepyRig(t)
	for what, ask := range map[string]func() error{
		"status of a node": func() error { _, err := r.client.Node("worker-1").Status(t.Context()); return err },
		"rotation":         func() error { return r.client.RotateSecrets(t.Context(), ignore) },
		"restart":          func() error { return r.client.Restart(t.Context(), "worker-2", ignore) },
		"resume":           func() error { return r.client.Resume(t.Context(), ignore) },
		"up":               func() error { return r.client.Apply(t.Context(), r.spec, ignore) },
		"fault": func() error {
			request := daemonapi.FaultRequest{Kind: daemonapi.FaultLatency, Nodes: []string{"worker-1"}, Seconds: 60}
			request.DelayMilliseconds = 5
			if _, err := r.client.Chaos(t.Context(), request); err != nil {
				return err
			}
			_, err := r.client.ClearFaults(t.Context(), nil)
			return err
		},
	} {
		r.awaitSleep(t)
		if err := ask(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestTheCollectionOfLogsDoesNotWakeACluster(t *testing.T) {
	r := newSleepyRig(t)
	r.awaitSleep(t)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if answer, err := r.client.Node("worker-1").TakeLogs(ctx, nodeapi.TakeRequest{}); err == nil {
		_ = answer.Close()
		t.Error("a paused node gave logs")
	}
	r.awaitSleep(t)
}

func TestAPauseByTheUserLasts(t *testing.T) {
	r := newSleepyRig(t)
	r.awaitSleep(t)
	if _, message := completed(t, r.client.Pause); message != "already paused, and no longer wakes on use" {
		t.Errorf("%q", message)
	}
	status, err := r.client.Status(t.Context())
	if err != nil || status.Phase != "paused" || status.WakesOnUse {
		t.Errorf("%s, wakes on use: %v, %v", status.Phase, status.WakesOnUse, err)
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(status.Server, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if n, err := conn.Read(make([]byte, 1)); err == nil {
		t.Errorf("%d bytes", n)
	}
	var failure *daemonapi.Failure
	if _, err := r.client.Node("worker-1").Status(t.Context()); !errors.As(err, &failure) || !failure.Paused {
		t.Errorf("a node of a paused cluster: %v", err)
	}
	r.wantMachines(t, "paused", "paused", "paused", "paused")
	completed(t, r.client.Resume)
	r.awaitSleep(t)
}

func TestTheTimeUntilThePauseChangesWhileAClusterRuns(t *testing.T) {
	r := newSleepyRig(t)
	r.awaitSleep(t)
	for _, idle := range []string{"soon", "1s", "", "-15m"} {
		var failure *daemonapi.Failure
		if err := r.client.PauseIdle(t.Context(), idle); idle != "" && (!errors.As(err, &failure) || !failure.Invalid || !strings.Contains(failure.Cause, "pause.idle")) {
			t.Errorf("%q: %v", idle, err)
		}
	}
	if err := r.client.PauseIdle(t.Context(), cluster.PauseOff); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) { // it wakes
		if phase, _ := r.machines(t); phase == "running" {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("the cluster is %s", phase)
		}
	}
	if spec, err := r.client.Spec(); err != nil || spec.Pause.Idle != cluster.PauseOff {
		t.Errorf("%+v, %v", spec.Pause, err)
	}
	if err := r.client.PauseIdle(t.Context(), "20m"); err != nil {
		t.Fatal(err)
	}
	r.awaitSleep(t)
	off := r.spec
	off.Pause.Idle = cluster.PauseOff
	up(t, r.client, off)
	r.wantMachines(t, "running", "running", "running", "running")
}

func TestAClusterWithAMachineThatIsOffIsNotPausedByItself(t *testing.T) {
	r := newSleepyRig(t)
	r.awaitSleep(t)
	if err := r.client.PauseIdle(t.Context(), cluster.PauseOff); err != nil {
		t.Fatal(err)
	}
	for {
		if _, states := r.machines(t); !slices.Contains(states, "paused") {
			break
		}
	}
	r.driver.End("worker-1", "signal: killed")
	if err := r.client.PauseIdle(t.Context(), "15m"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond)
	r.wantMachines(t, "degraded", "running", "stopped", "running")
}

func TestAConnectionEndsIfTheClusterCannotBeResumed(t *testing.T) {
	r := newSleepyRig(t)
	r.awaitSleep(t)
	for _, name := range []string{"control-plane-1", "worker-1", "worker-2"} {
		r.driver.End(name, "signal: killed")
	}
	if err := r.client.PauseIdle(t.Context(), cluster.PauseOff); err != nil {
		t.Fatal(err)
	}
	conn := r.connect(t)
	defer conn.Close()
	if n, err := conn.Read(make([]byte, 1)); err == nil {
		t.Errorf("%d bytes", n)
	}
}

func TestStopShutsDownAClusterThatIsAsleep(t *testing.T) {
	r := newSleepyRig(t)
	r.awaitSleep(t)
	r.stop()
	if err := <-r.ended; err != nil {
		t.Errorf("daemon: %v", err)
	}
	r.ended <- nil
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.turnedOff) != 3 {
		t.Errorf("guests that turned themselves off: %v", r.turnedOff)
	}
}
