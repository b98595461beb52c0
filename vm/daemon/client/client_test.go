package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/home"
)

func up(t *testing.T, c *client.Client, spec cluster.Spec) []daemonapi.Event {
	t.Helper()
	var events []daemonapi.Event
	if err := c.Apply(t.Context(), spec, func(e daemonapi.Event) { events = append(events, e) }); err != nil {
		t.Fatalf("apply: %v", err)
	}
	return events
}

func ignore(daemonapi.Event) {}

func TestUpMakesEveryNodeReadyAndIsIdempotent(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	events := up(t, r.client, r.spec)
	done := map[string]bool{}
	for _, e := range events {
		if e.State == daemonapi.StateDone {
			done[e.Node+" "+string(e.Phase)] = true
		}
	}
	for _, want := range []string{" prepare", "control-plane-1 boot", " control-plane", "worker-1 join", "worker-2 ready", " cluster"} {
		if !done[want] {
			t.Errorf("no %q among %v", want, done)
		}
	}
	if last := events[len(events)-1]; !last.Done || last.Failure != nil {
		t.Errorf("last event %+v", last)
	}
	status, err := r.client.Status(t.Context())
	if err != nil || status.Phase != "running" || len(status.Nodes) != 3 || status.Kubernetes != "v1.36.3" || status.Timings["cluster"] == 0 && status.Timings["boot"] == 0 {
		t.Errorf("status %+v, %v", status, err)
	}
	boots := r.boots
	if events := up(t, r.client, r.spec); events[len(events)-1].Message != "nothing to do" || r.boots != boots {
		t.Errorf("second up: %+v, %d boots more", events[len(events)-1], r.boots-boots)
	}
	if steps, err := r.client.Plan(t.Context(), r.spec); err != nil || len(steps) != 0 {
		t.Errorf("plan %v, %v", steps, err)
	}
	if spec, err := r.client.Spec(); err != nil || spec.APIPort == 0 || spec.Workers != 2 {
		t.Errorf("spec %+v, %v", spec, err)
	}
	if kubeconfig, err := r.client.Kubeconfig(t.Context()); err != nil || !bytes.Contains(kubeconfig, []byte("skiff-demo")) {
		t.Errorf("kubeconfig %s, %v", kubeconfig, err)
	}
}

func TestStatusReportsHowAMachineEndedAndUpRepairsIt(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	up(t, r.client, r.spec)
	r.driver.End("worker-1", "signal: killed")
	var status daemonapi.ClusterStatus
	for status.Phase != "degraded" || status.Nodes[1].MachineMessage == "" {
		var err error
		if status, err = r.client.Status(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if node := status.Nodes[1]; node.Machine != "stopped" || node.MachineMessage != "signal: killed" {
		t.Errorf("node %+v", node)
	}
	steps, err := r.client.Plan(t.Context(), r.spec)
	if err != nil || len(steps) != 5 || steps[0].String() != "start worker-1 (stopped by itself: signal: killed)" {
		t.Errorf("plan %v, %v", steps, err)
	}
	up(t, r.client, r.spec)
	if status, err := r.client.Status(t.Context()); err != nil || status.Phase != "running" || status.Nodes[1].MachineMessage != "" {
		t.Errorf("status %+v, %v", status, err)
	}
}

func TestUpStartsAMachineThatEndsMeanwhile(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	up(t, r.client, r.spec)
	var steps []string
	kill := sync.OnceFunc(func() { r.driver.End("worker-1", "signal: killed") })
	r.mu.Lock()
	delete(r.nodes, "worker-1")
	_ = r.servers[netip.AddrPortFrom(cluster.Nodes(r.spec, nil)[1].Address.Addr(), nodeconfig.PortNodeAPI).String()].Close()
	r.mu.Unlock()
	err := r.client.Apply(t.Context(), r.spec, func(e daemonapi.Event) {
		if e.Step != "" && e.Node == "worker-1" && e.State == daemonapi.StateRunning {
			steps = append(steps, e.Step)
		}
		if len(steps) == 1 {
			kill()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(steps) == 0 || !strings.HasPrefix(steps[0], "boot ") {
		t.Errorf("steps %v, want the boot of a machine that runs first", steps)
	}
	if status, err := r.client.Status(t.Context()); err != nil || status.Phase != "running" {
		t.Errorf("status %+v, %v", status, err)
	}
}

func TestUpAddsAndRemovesWorkers(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	up(t, r.client, r.spec)
	more := r.spec
	more.Workers = 3
	up(t, r.client, more)
	if len(r.nodes) != 4 {
		t.Errorf("nodes %v", r.nodes)
	}
	fewer := r.spec
	fewer.Workers = 1
	up(t, r.client, fewer)
	slices.Sort(r.deleted)
	if want := []string{"worker-2", "worker-3"}; !slices.Equal(r.deleted, want) || len(r.cordoned) != 2 {
		t.Errorf("deleted %v, cordoned %v, want %v", r.deleted, r.cordoned, want)
	}
	if status, err := r.client.Status(t.Context()); err != nil || len(status.Nodes) != 2 || status.Phase != "running" {
		t.Errorf("status %+v, %v", status, err)
	}
	others := r.spec
	others.ControlPlanes = 2
	var failure *daemonapi.Failure
	if err := r.client.Apply(t.Context(), others, ignore); !errors.As(err, &failure) || !failure.Invalid || !strings.Contains(failure.Cause, "even number") {
		t.Errorf("two control planes: %v", err)
	}
}

func TestUpAddsAndRemovesControlPlanes(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	up(t, r.client, r.spec)
	if got := r.documents["control-plane-1"].Etcd; got.Join || len(got.Members) != 1 {
		t.Errorf("the first control plane: %+v", got)
	}
	three := r.spec
	three.ControlPlanes = 3
	up(t, r.client, three)
	for _, name := range []string{"control-plane-2", "control-plane-3"} {
		if got := r.documents[name].Etcd; got == nil || !got.Join || len(got.Members) != 3 {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if steps, err := r.client.Plan(t.Context(), three); err != nil || len(steps) != 0 {
		t.Errorf("plan %v, %v", steps, err)
	}
	up(t, r.client, r.spec)
	if want := []string{"drain control-plane-3", "remove control-plane-3", "drain control-plane-2", "remove control-plane-2"}; !slices.Equal(r.left, want) {
		t.Errorf("they left with %v, want %v", r.left, want)
	}
	if want := []string{"control-plane-3", "control-plane-2"}; !slices.Equal(r.deleted, want) {
		t.Errorf("deleted %v, want %v", r.deleted, want)
	}
	if status, err := r.client.Status(t.Context()); err != nil || len(status.Nodes) != 3 || status.Phase != "running" {
		t.Errorf("status %+v, %v", status, err)
	}
}

func TestDownCancelsUpAndLeavesNothing(t *testing.T) {
	h := shortHome(t)
	r := newRig(t, h, "demo")
	r.stuck = true
	applied := make(chan error, 1)
	waiting := make(chan struct{}, 1)
	go func() {
		applied <- r.client.Apply(context.Background(), r.spec, func(e daemonapi.Event) {
			if e.Phase == daemonapi.PhaseControlPlane {
				waiting <- struct{}{}
			}
		})
	}()
	<-waiting
	var events []daemonapi.Event
	if err := r.client.Down(t.Context(), daemonapi.DownRequest{}, func(e daemonapi.Event) { events = append(events, e) }); err != nil {
		t.Fatal(err)
	}
	if err := <-applied; err == nil || !strings.Contains(err.Error(), "taken down") {
		t.Errorf("apply: %v", err)
	}
	if err := <-r.ended; err != nil {
		t.Errorf("daemon: %v", err)
	}
	r.ended <- nil
	if entries, err := os.ReadDir(h.Clusters()); err != nil || len(entries) != 0 {
		t.Errorf("left: %v, %v", entries, err)
	}
	if last := events[len(events)-1]; !last.Done {
		t.Errorf("last event %+v", last)
	}
	if _, err := r.client.Status(t.Context()); !errors.Is(err, client.ErrNoCluster) {
		t.Errorf("status after down: %v", err)
	}
	if err := r.client.Down(t.Context(), daemonapi.DownRequest{}, ignore); err != nil {
		t.Errorf("second down: %v", err)
	}
}

func TestApplyJoinsTheSameApplyAndRefusesAnother(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	r.stuck = true
	first, second := make(chan daemonapi.Event, 1000), make(chan daemonapi.Event, 1000)
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() { left <- r.client.Apply(ctx, r.spec, func(e daemonapi.Event) { first <- e }) }()
	<-first
	other := r.spec
	other.Workers = 5
	var failure *daemonapi.Failure
	if err := r.client.Apply(t.Context(), other, ignore); !errors.As(err, &failure) || !strings.Contains(failure.Cause, "another change is in progress") {
		t.Errorf("another: %v", err)
	}
	joined := make(chan error, 1)
	go func() { joined <- r.client.Apply(t.Context(), r.spec, func(e daemonapi.Event) { second <- e }) }()
	if e := <-second; e.Phase != daemonapi.PhaseCluster {
		t.Errorf("a client that joins receives %+v first", e)
	}
	leave() // the operation continues
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the client that left: %v", err)
	}
	if status, err := r.client.Status(t.Context()); err != nil || status.Phase != "starting" {
		t.Errorf("status %v, %v", status.Phase, err)
	}
	if err := r.client.Down(t.Context(), daemonapi.DownRequest{}, ignore); err != nil {
		t.Fatal(err)
	}
	if err := <-joined; err == nil {
		t.Error("a client that joined received no failure")
	}
	r.ended <- <-r.ended
}

func TestAFailureHasCauseLogAndHint(t *testing.T) {
	w := newEnvironment()
	w.bootLimit, w.driver.Started = 3*time.Second, nil // nothing answers
	r := startRig(t, w, shortHome(t), small("demo"), imageDir(t))
	failed := make(chan error, 1)
	go func() { failed <- r.client.Apply(context.Background(), r.spec, ignore) }()
	for {
		if status, err := r.client.Status(t.Context()); err == nil && len(status.Nodes) == 3 && status.Nodes[1].Machine == "running" {
			break
		}
	}
	r.driver.End("worker-1", "exit status 1: no memory")
	var failure *daemonapi.Failure
	if err := <-failed; !errors.As(err, &failure) {
		t.Fatal(err)
	}
	if !strings.Contains(failure.Cause, "worker-1 did not boot") || !strings.HasSuffix(failure.Log, "worker-1/serial.log") || failure.Hint == "" {
		t.Errorf("failure %+v", failure)
	}
}

func TestUpFailsWhenThePortIsInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	r := newRig(t, shortHome(t), "demo")
	r.spec.APIPort = taken.Addr().(*net.TCPAddr).Port
	var failure *daemonapi.Failure
	if err := r.client.Apply(t.Context(), r.spec, ignore); !errors.As(err, &failure) || !failure.Invalid || !strings.Contains(failure.Cause, "in use") {
		t.Errorf("apply: %v", err)
	}
	offline := client.New(client.Config{Home: shortHome(t), Name: "demo", ImageDir: imageDir(t)})
	if err := offline.Check(t.Context(), r.spec); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("check: %v", err)
	}
}

func TestUpChangesNothingWhenAPortOfTheHostIsInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	port := taken.Addr().(*net.TCPAddr).Port
	h := shortHome(t)
	c := client.New(client.Config{Home: h, Name: "demo", ImageDir: imageDir(t), Command: []string{"false"}})
	spec := small("demo")
	spec.Ports = []string{fmt.Sprintf("%d:svc/web:80", port)}
	err = c.Check(t.Context(), spec)
	var failure *daemonapi.Failure
	if !errors.As(err, &failure) || !failure.Invalid || !strings.Contains(err.Error(), fmt.Sprintf("port %d on 127.0.0.1 is in use", port)) {
		t.Errorf("check: %v", err)
	}
	// The cluster's own daemon may have it.
	state, err := json.Marshal(cluster.State{Version: cluster.StateVersion, Spec: spec})
	if err != nil {
		t.Fatal(err)
	}
	writeCluster(t, h.Cluster("demo"), state)
	if err := c.Check(t.Context(), spec); err != nil && strings.Contains(err.Error(), fmt.Sprint(port)) {
		t.Errorf("check of a known port: %v", err)
	}
}

func TestTwoClustersRunSideBySide(t *testing.T) {
	h := shortHome(t)
	one, two := newRig(t, h, "one"), newRig(t, h, "two")
	up(t, one.client, one.spec)
	up(t, two.client, two.spec)
	all, err := client.List(t.Context(), h)
	if err != nil || len(all) != 2 || all[0].Name != "one" || all[1].Name != "two" || all[0].Server == all[1].Server {
		t.Errorf("list %+v, %v", all, err)
	}
	if err := one.client.Down(t.Context(), daemonapi.DownRequest{}, ignore); err != nil {
		t.Fatal(err)
	}
	one.ended <- <-one.ended
	if status, err := two.client.Status(t.Context()); err != nil || status.Phase != "running" {
		t.Errorf("the other: %v, %v", status.Phase, err)
	}
}

// writeCluster writes the files of a stopped cluster, without a state file if state
// is nil.
func writeCluster(t *testing.T, dir home.Cluster, state []byte) {
	t.Helper()
	files := map[string]string{"pki/ca.key": "key", "vm/worker-1/disk": "data"}
	if state != nil {
		files["cluster.json"] = string(state)
	}
	for name, content := range files {
		path := filepath.Join(string(dir), name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// files returns the content of every file below dir except the daemon's own.
func files(t *testing.T, dir home.Cluster) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(string(dir), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || path == dir.Lock() || path == dir.Log() {
			return err
		}
		content, err := os.ReadFile(path)
		name, _ := filepath.Rel(string(dir), path)
		all[name] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestAnUnusableStateFileIsKept(t *testing.T) {
	for name, test := range map[string]struct {
		state []byte
		phase string
		want  error
	}{
		"damaged": {[]byte("not json"), "damaged", cluster.ErrDamaged},
		"newer":   {[]byte(`{"version":99,"spec":{}}`), "newer", cluster.ErrNewer},
		"missing": {nil, "damaged", cluster.ErrDamaged},
	} {
		t.Run(name, func(t *testing.T) {
			h, images := shortHome(t), imageDir(t)
			dir := h.Cluster("demo")
			writeCluster(t, dir, test.state)
			before := files(t, dir)
			c := client.New(client.Config{Home: h, Name: "demo", ImageDir: images, Command: []string{"false"}})
			for range 2 {
				if all, err := client.List(t.Context(), h); err != nil || len(all) != 1 || all[0].Phase != test.phase || len(all[0].Problems) != 1 {
					t.Errorf("list: %+v, %v", all, err)
				}
				if _, err := c.Status(t.Context()); !errors.Is(err, test.want) {
					t.Errorf("status: %v", err)
				}
				var failure *daemonapi.Failure
				if err := c.Check(t.Context(), small("demo")); !errors.As(err, &failure) || !failure.Invalid {
					t.Errorf("check: %v", err)
				}
			}
			serveBriefly(t, daemon.Config{Home: h, Name: "demo", ImageDir: images}, c)
			if after := files(t, dir); !maps.Equal(after, before) {
				t.Errorf("files %v, before %v", after, before)
			}
			err := c.Down(t.Context(), daemonapi.DownRequest{}, ignore)
			if errors.Is(test.want, cluster.ErrNewer) {
				if after := files(t, dir); !errors.Is(err, cluster.ErrNewer) || !maps.Equal(after, before) {
					t.Errorf("down: %v, files %v, before %v", err, after, before)
				}
				return
			}
			if _, stat := os.Stat(string(dir)); err != nil || !errors.Is(stat, os.ErrNotExist) {
				t.Errorf("down: %v; afterwards %v", err, stat)
			}
		})
	}
}

// serveBriefly runs a daemon until it answers, has it refuse to create the
// cluster, and ends it.
func serveBriefly(t *testing.T, config daemon.Config, c *client.Client) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- daemon.Run(ctx, config) }()
	for !exists(config.Home.Cluster(config.Name).Socket()) {
		time.Sleep(time.Millisecond)
	}
	if all, err := client.List(t.Context(), config.Home); err != nil || len(all) != 1 || len(all[0].Problems) != 1 {
		t.Errorf("list with a daemon: %+v, %v", all, err)
	}
	var failure *daemonapi.Failure
	if err := c.Apply(t.Context(), small(config.Name), ignore); !errors.As(err, &failure) || !failure.Invalid {
		t.Errorf("apply: %v", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("daemon: %v", err)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func TestAnInterruptedRemovalIsListedAndContinued(t *testing.T) {
	h, images := shortHome(t), imageDir(t)
	dir := h.Cluster("demo")
	writeCluster(t, dir, []byte("any state"))
	if err := os.Rename(dir.State(), dir.Removing()); err != nil {
		t.Fatal(err)
	}
	if all, err := client.List(t.Context(), h); err != nil || len(all) != 1 || all[0].Phase != "removing" {
		t.Errorf("list: %+v, %v", all, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- daemon.Run(ctx, daemon.Config{Home: h, Name: "demo", ImageDir: images}) }()
	for !exists(dir.Socket()) {
		time.Sleep(time.Millisecond)
	}
	if left := files(t, dir); len(left) != 0 {
		t.Errorf("files %v", left)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if exists(string(dir)) {
		t.Error("the directory is still there")
	}
}

// TestUpContinuesAfterTheDaemonWasKilled runs daemons as processes.
func TestUpContinuesAfterTheDaemonWasKilled(t *testing.T) {
	h, images := shortHome(t), imageDir(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(envDaemon, strings.Join([]string{string(h), "demo", images}, ":"))
	t.Setenv(envStuck, "1")
	c := client.New(client.Config{Home: h, Name: "demo", ImageDir: images, Command: []string{self}})
	spec := small("demo")
	waiting, cut := make(chan struct{}, 1), make(chan error, 1)
	go func() {
		cut <- c.Apply(context.Background(), spec, func(e daemonapi.Event) {
			if e.Phase == daemonapi.PhaseControlPlane {
				waiting <- struct{}{}
			}
		})
	}()
	<-waiting
	status, err := c.Status(t.Context())
	if err != nil || status.DaemonPID == 0 {
		t.Fatalf("status %+v, %v", status, err)
	}
	if err := syscall.Kill(status.DaemonPID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	var failure *daemonapi.Failure
	if err := <-cut; !errors.As(err, &failure) || failure.Hint == "" {
		t.Errorf("apply of a killed daemon: %v", err)
	}
	if status, err := c.Status(t.Context()); err != nil || status.Phase != "stopped" {
		t.Errorf("status without a daemon: %+v, %v", status, err)
	}
	t.Setenv(envStuck, "")
	up(t, c, spec)
	for _, running := range []bool{true, false} {
		if stopped, err := c.Stop(t.Context(), daemonapi.StopRequest{Shutdown: true}, ignore); err != nil || stopped != running {
			t.Errorf("stop: %t, %v, want %t", stopped, err, running)
		}
	}
	if status, err := c.Status(t.Context()); err != nil || status.Phase != "stopped" || len(status.Nodes) != 3 {
		t.Errorf("status after stop: %+v, %v", status, err)
	}
	up(t, c, spec)
	status, err = c.Status(t.Context())
	if err != nil || status.Phase != "running" {
		t.Errorf("status %+v, %v", status, err)
	}
	if err := c.Down(t.Context(), daemonapi.DownRequest{}, ignore); err != nil {
		t.Fatal(err)
	}
	if alive(status.DaemonPID) {
		t.Error("the daemon's process is still there after down")
	}
}

func TestUpFailsAtOnceIfTheDaemonCannotStart(t *testing.T) {
	c := client.New(client.Config{Home: shortHome(t), Name: "demo", ImageDir: imageDir(t), Command: []string{"sh", "-c", "echo no luck >&2; exit 1"}})
	if err := c.Apply(t.Context(), small("demo"), ignore); err == nil || !strings.Contains(err.Error(), "no luck") {
		t.Errorf("apply: %v", err)
	}
}

// alive reports whether a process runs. A zombie does not.
func alive(pid int) bool {
	out, err := exec.Command("ps", "-o", "stat=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && !strings.HasPrefix(strings.TrimSpace(string(out)), "Z")
}
