package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/home"
)

// elsewhere is what a user's kubeconfig holds before Skiff touches it.
const elsewhere = `# kept by hand
apiVersion: v1
kind: Config
clusters:
- name: elsewhere
  cluster:
    server: https://elsewhere.example:6443
users:
- name: elsewhere
  user:
    token: abc
contexts:
- name: elsewhere
  context:
    cluster: elsewhere
    user: elsewhere
current-context: elsewhere
`

// up brings the shared cluster up from nothing and leaves the timings behind.
func (r *rig) up(t *testing.T, name string) {
	t.Helper()
	if err := os.WriteFile(r.kubeconfig, []byte(elsewhere), 0o600); err != nil {
		t.Fatal(err)
	}
	a := r.trySkiff(t, "up", name, "--control-planes", "1", "--workers", "2")
	took := a.took
	t.Logf("skiff up %s, exit code %d after %.1f s\n%s%s", name, a.code, a.took.Seconds(), a.stdout, a.stderr)
	if a.code != 0 {
		r.dump(t, name)
		t.FailNow()
	}
	r.add(t, "up from nothing", took, "passed")
	status := r.running(t, name)
	// By node too, as the daemon wrote it.
	details, err := os.ReadFile(home.Home(r.home).Cluster(name).Timings())
	if err != nil {
		t.Error(err)
	}
	writeJSON(t, filepath.Join(r.out, "up.json"), map[string]any{
		"seconds": took.Seconds(), "goalSeconds": 60, "phases": status.Timings, "details": json.RawMessage(details),
		"accelerator": status.Accelerator, "nodes": status.Nodes,
	})
	for phase, seconds := range status.Timings {
		t.Logf("phase %-14s %6.1f s", phase, seconds)
	}
	equal(t, "nodes", len(status.Nodes), 3)
	for _, node := range status.Nodes {
		equal(t, "node "+node.Name+" is Ready", node.Ready, "True")
	}
}

// running waits until status says that all of a cluster is well. An emulated
// API server that is busy may answer one question too late.
func (r *rig) running(t *testing.T, name string) (status daemonapi.ClusterStatus) {
	t.Helper()
	eventually(t, patience, "cluster "+name+" runs", func() error {
		if status = r.status(t, name); status.Phase != "running" {
			return fmt.Errorf("%+v", status)
		}
		return nil
	})
	return status
}

// kubeconfigIsAsBefore compares what the file means, not how it is written.
func (r *rig) kubeconfigIsAsBefore(t *testing.T) {
	t.Helper()
	data, err := os.ReadFile(r.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	var got, want map[string]any
	if err := yaml.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(elsewhere), &want); err != nil {
		t.Fatal(err)
	}
	delete(got, "preferences") // an empty mapping that some writers add
	if !reflect.DeepEqual(got, want) {
		t.Errorf("kubeconfig after down:\n%s", data)
	}
}

func testUpTwice(t *testing.T, r *rig, name string) {
	before := r.status(t, name)
	a := r.trySkiff(t, "up", name)
	equal(t, "exit code", a.code, 0)
	t.Logf("the second up took %.2f s (goal: under 2 s)\n%s%s", a.took.Seconds(), a.stdout, a.stderr)
	writeJSON(t, filepath.Join(r.out, "up-twice.json"), map[string]any{"seconds": a.took.Seconds(), "goalSeconds": 2})
	after := r.status(t, name)
	equal(t, "daemon", after.DaemonPID, before.DaemonPID)
	for i := range before.Nodes {
		if was, is := before.Nodes[i].Started, after.Nodes[i].Started; !is.Equal(was) {
			t.Errorf("machine %s started at %s, now says %s", before.Nodes[i].Name, was, is)
		}
	}
}

// testWorkerIsKilled kills a machine's process, as the kernel would if memory
// ran out.
func testWorkerIsKilled(t *testing.T, r *rig, name string, k *kube) {
	k = k.in(t)
	k.apply(t, "drain.yaml")
	k.rollout(t, "deployment/mover")
	victim := "worker-2"
	kill(t, r.machine(t, name, victim).pid)

	find := func() daemonapi.NodeStatus {
		for _, node := range r.status(t, name).Nodes {
			if node.Name == victim {
				return node
			}
		}
		t.Fatalf("status knows no %s", victim)
		return daemonapi.NodeStatus{}
	}
	eventually(t, patience, "status says that the machine ended", func() error {
		if node := find(); node.Machine != "stopped" || node.MachineMessage == "" {
			return fmt.Errorf("%+v", node)
		}
		return nil
	})
	equal(t, "phase of the cluster", r.status(t, name).Phase, "degraded")
	text := r.trySkiff(t, "status", name)
	contains(t, "status for people", text.stdout, victim, find().MachineMessage)
	t.Logf("status after the kill:\n%s", text.stdout)

	eventually(t, 2*patience, "the pods move", func() error {
		for _, p := range k.pods(t, "app=mover") {
			if p.node == victim || !p.ready {
				return fmt.Errorf("%+v", p)
			}
		}
		return nil
	})
	a := r.trySkiff(t, "up", name)
	t.Logf("healed in %.1f s\n%s%s", a.took.Seconds(), a.stdout, a.stderr)
	equal(t, "exit code of up", a.code, 0)
	k.wait(t, "condition=Ready", "node/"+victim)
	r.running(t, name)
	// The node takes pods again, from the images on its disk.
	k.kubectl(t, "run", "back", "--image=skiff.test/workload:1", "--restart=Never", "--overrides",
		`{"spec":{"terminationGracePeriodSeconds":1,"nodeSelector":{"kubernetes.io/hostname":"`+victim+`"}}}`)
	k.wait(t, "condition=Ready", "pod/back")
	equal(t, "the pod runs", strings.TrimSpace(k.kubectl(t, "exec", "back", "--", "hostname")), "back")
}

// small is how the second cluster is brought up.
func small(command, name string) []string {
	return []string{command, name, "--control-planes", "1", "--workers", "0", "--memory", "1536Mi"}
}

// testDaemonIsKilled kills the daemon of a second cluster while it comes up,
// brings it up again beside the first, and takes it down.
func testDaemonIsKilled(t *testing.T, r *rig, first string) {
	const name = "second"
	t.Cleanup(func() { r.discard(t, name) })
	up := r.background(t, small("up", name)...)
	pid := r.booting(t, name)
	kill(t, pid)
	err := up.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Errorf("up succeeded although its daemon was killed: %v", err)
	}
	t.Logf("up, its daemon killed: %v\n%s", err, up.output.String())

	a := r.trySkiff(t, small("up", name)...)
	t.Logf("up again: exit code %d in %.1f s\n%s%s", a.code, a.took.Seconds(), a.stdout, a.stderr)
	if a.code != 0 {
		r.dump(t, name)
		t.FailNow()
	}
	if again := r.status(t, name).DaemonPID; again == pid {
		t.Errorf("the daemon is still process %d", pid)
	}

	// Both clusters answer, each with its own nodes.
	for cluster, want := range map[string]int{first: 3, name: 1} {
		k := &kube{rig: r, context: "skiff-" + cluster}
		k.discover(t)
		equal(t, "nodes of "+cluster, len(k.nodes), want)
	}
	list := r.skiff(t, "list")
	contains(t, "list", list, first, name)
	var clusters []daemonapi.ClusterStatus
	if err := json.Unmarshal([]byte(r.skiff(t, "list", "-o", "json")), &clusters); err != nil {
		t.Errorf("list -o json: %v", err)
	}
	equal(t, "clusters listed", len(clusters), 2)

	r.skiff(t, "down", name)
	r.noTrace(t, name)
	equal(t, "phase of the other cluster", r.status(t, first).DaemonPID != 0, true)
	config, err := os.ReadFile(r.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(config, []byte("skiff-"+name)) || !bytes.Contains(config, []byte("skiff-"+first)) {
		t.Errorf("contexts after down of %s:\n%s", name, config)
	}
}

func testDownDuringUp(t *testing.T, r *rig) {
	const name = "third"
	t.Cleanup(func() { r.discard(t, name) })
	up := r.background(t, small("up", name)...)
	r.booting(t, name)
	a := r.trySkiff(t, "down", name)
	t.Logf("down: exit code %d in %.1f s\n%s%s", a.code, a.took.Seconds(), a.stdout, a.stderr)
	equal(t, "exit code of down", a.code, 0)
	if err := up.Wait(); err == nil {
		t.Error("up says that it succeeded, though the cluster was taken down")
	}
	t.Logf("up said:\n%s", up.output.String())
	r.noTrace(t, name)
	config, err := os.ReadFile(r.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(config, []byte("skiff-"+name)) {
		t.Error("the kubeconfig names a cluster that never was")
	}
}

// started is a command that goes on.
type started struct {
	*exec.Cmd
	output bytes.Buffer
}

func (r *rig) background(t *testing.T, args ...string) *started {
	t.Helper()
	s := &started{Cmd: exec.CommandContext(t.Context(), filepath.Join(r.root, "bin/skiff"), args...)}
	s.Env, s.WaitDelay = r.env, 5*time.Second
	s.Stdout, s.Stderr = &s.output, &s.output
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	return s
}

// booting waits until a cluster's machine runs, and returns its daemon's process.
func (r *rig) booting(t *testing.T, name string) (daemon int) {
	t.Helper()
	eventually(t, patience, "a machine of "+name+" boots", func() error {
		if len(r.machines(t, name, "")) > 0 {
			if daemon = r.status(t, name).DaemonPID; daemon != 0 {
				return nil
			}
		}
		return fmt.Errorf("processes: %+v", processes(t, filepath.Join(r.home, "clusters", name)))
	})
	return daemon
}

// discard takes a cluster away that a failed test left behind.
func (r *rig) discard(t *testing.T, name string) {
	if t.Failed() {
		r.dump(t, name)
	}
	if r.keep {
		return
	}
	if _, err := r.attempt(2*time.Minute, filepath.Join(r.root, "bin/skiff"), "down", name); err != nil {
		t.Log(err)
	}
	for _, p := range processes(t, filepath.Join(r.home, "clusters", name)) {
		t.Logf("killing what is left: %d %s", p.pid, p.command)
		kill(t, p.pid)
	}
}
