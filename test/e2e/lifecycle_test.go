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

// existingKubeconfig is the user's kubeconfig before Skiff changes it.
const existingKubeconfig = `# kept by hand
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

// up creates the shared cluster and records the timings.
func (r *rig) up(t *testing.T, name string) {
	t.Helper()
	if err := os.WriteFile(r.kubeconfig, []byte(existingKubeconfig), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(r.shared, 0o777); err != nil {
		t.Fatal(err)
	}
	args := []string{"up", name, "--control-planes", "1", "--workers", "2", "--zones", "2", "--mount", r.shared + ":/shared"}
	if r.chosen { // it would slow down the emulated machines of a whole run
		args = append(args, "--gateway-api")
	}
	a := r.trySkiff(t, args...)
	took := a.took
	t.Logf("skiff up %s, exit code %d after %.1f s\n%s%s", name, a.code, a.took.Seconds(), a.stdout, a.stderr)
	if a.code != 0 {
		r.dump(t, name)
		t.FailNow()
	}
	r.add(t, "create cluster", took, "passed")
	status := r.running(t, name)
	// The daemon's file also has the timings of each node.
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

// running waits until the status of a cluster is "running". A busy emulated API
// server may be too slow for a single query.
func (r *rig) running(t *testing.T, name string) (status daemonapi.ClusterStatus) {
	t.Helper()
	eventually(t, waitLimit, "cluster "+name+" is running", func() error {
		if status = r.status(t, name); status.Phase != "running" {
			return fmt.Errorf("%+v", status)
		}
		return nil
	})
	return status
}

// assertKubeconfigRestored compares the content of the kubeconfig, but not its
// formatting.
func (r *rig) assertKubeconfigRestored(t *testing.T) {
	t.Helper()
	data, err := os.ReadFile(r.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	var got, want map[string]any
	if err := yaml.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(existingKubeconfig), &want); err != nil {
		t.Fatal(err)
	}
	delete(got, "preferences") // an empty mapping that some programs add
	if !reflect.DeepEqual(got, want) {
		t.Errorf("kubeconfig after down:\n%s", data)
	}
}

func testUpOfRunningCluster(t *testing.T, r *rig, name string) {
	before := r.status(t, name)
	a := r.trySkiff(t, "up", name)
	equal(t, "exit code", a.code, 0)
	t.Logf("up of the running cluster took %.2f s (goal: under 2 s)\n%s%s", a.took.Seconds(), a.stdout, a.stderr)
	writeJSON(t, filepath.Join(r.out, "up-twice.json"), map[string]any{"seconds": a.took.Seconds(), "goalSeconds": 2})
	after := r.status(t, name)
	equal(t, "daemon", after.DaemonPID, before.DaemonPID)
	for i := range before.Nodes {
		if was, is := before.Nodes[i].Started, after.Nodes[i].Started; !is.Equal(was) {
			t.Errorf("machine %s was started at %s, before at %s", before.Nodes[i].Name, is, was)
		}
	}
}

// testKillWorker kills a machine's process, like the kernel's OOM killer.
func testKillWorker(t *testing.T, r *rig, name string, k *kube) {
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
		t.Fatalf("status has no node %s", victim)
		return daemonapi.NodeStatus{}
	}
	eventually(t, waitLimit, "status reports that the machine stopped", func() error {
		if node := find(); node.Machine != "stopped" || node.MachineMessage == "" {
			return fmt.Errorf("%+v", node)
		}
		return nil
	})
	equal(t, "phase of the cluster", r.status(t, name).Phase, "degraded")
	text := r.trySkiff(t, "status", name)
	contains(t, "status as text", text.stdout, victim, find().MachineMessage)
	t.Logf("status after the kill:\n%s", text.stdout)

	eventually(t, 2*waitLimit, "the pods are moved", func() error {
		for _, p := range k.pods(t, "app=mover") {
			if p.node == victim || !p.ready {
				return fmt.Errorf("%+v", p)
			}
		}
		return nil
	})
	const shutdown = "node.cloudprovider.kubernetes.io/shutdown"
	eventually(t, waitLimit, "the node has the taint of a machine that is shut down", func() error {
		if taints := k.get(t, "node/"+victim, ".spec.taints[*].key"); !strings.Contains(taints, shutdown) {
			return fmt.Errorf("taints %q", taints)
		}
		return nil
	})
	a := r.trySkiff(t, "up", name)
	t.Logf("repaired in %.1f s\n%s%s", a.took.Seconds(), a.stdout, a.stderr)
	equal(t, "exit code of up", a.code, 0)
	k.wait(t, "condition=Ready", "node/"+victim)
	eventually(t, waitLimit, "the taint is gone", func() error {
		if taints := k.get(t, "node/"+victim, ".spec.taints[*].key"); strings.Contains(taints, shutdown) {
			return fmt.Errorf("taints %q", taints)
		}
		return nil
	})
	r.running(t, name)
	// The node runs pods again, from the images on its disk.
	k.kubectl(t, "run", "back", "--image=skiff.test/workload:1", "--restart=Never", "--overrides",
		`{"spec":{"terminationGracePeriodSeconds":1,"nodeSelector":{"kubernetes.io/hostname":"`+victim+`"}}}`)
	k.wait(t, "condition=Ready", "pod/back")
	equal(t, "hostname in the pod", strings.TrimSpace(k.kubectl(t, "exec", "back", "--", "hostname")), "back")
}

// small returns the arguments for a small cluster.
func small(command, name string) []string {
	return []string{command, name, "--control-planes", "1", "--workers", "0", "--memory", "1536Mi"}
}

// testKillDaemon kills the daemon of a second cluster while it starts, starts the
// cluster again next to the first one, and deletes it.
func testKillDaemon(t *testing.T, r *rig, first string) {
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
	t.Logf("up with a killed daemon: %v\n%s", err, up.output.String())

	a := r.trySkiff(t, small("up", name)...)
	t.Logf("up again: exit code %d in %.1f s\n%s%s", a.code, a.took.Seconds(), a.stdout, a.stderr)
	if a.code != 0 {
		r.dump(t, name)
		t.FailNow()
	}
	if again := r.status(t, name).DaemonPID; again == pid {
		t.Errorf("the daemon is still process %d", pid)
	}

	// Both clusters respond, each with its own nodes.
	for cluster, want := range map[string]int{first: 3, name: 1} {
		k := &kube{rig: r, context: "skiff-" + cluster}
		k.discover(t)
		equal(t, "nodes of "+cluster, len(k.nodes), want)
	}
	list := r.skiff(t, "list")
	contains(t, "list", list, first, name)
	var clusters []daemonapi.ClusterStatus
	r.skiffJSON(t, &clusters, "list")
	equal(t, "clusters listed", len(clusters), 2)

	r.skiff(t, "down", name)
	r.assertNoTraces(t, name)
	equal(t, "daemon of the other cluster is running", r.status(t, first).DaemonPID != 0, true)
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
		t.Error("up succeeded although the cluster was deleted")
	}
	t.Logf("output of up:\n%s", up.output.String())
	r.assertNoTraces(t, name)
	config, err := os.ReadFile(r.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(config, []byte("skiff-"+name)) {
		t.Error("the kubeconfig has a context of the deleted cluster")
	}
}

// started is a command in the background.
type started struct {
	*exec.Cmd
	output bytes.Buffer
}

func (r *rig) background(t *testing.T, args ...string) *started {
	t.Helper()
	return r.start(t, filepath.Join(r.root, "bin/skiff"), args...)
}

func (r *rig) start(t *testing.T, program string, args ...string) *started {
	t.Helper()
	s := &started{Cmd: exec.CommandContext(t.Context(), program, args...)}
	s.Env, s.WaitDelay = r.env, 5*time.Second
	s.Stdout, s.Stderr = &s.output, &s.output
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	return s
}

// booting waits until a machine of a cluster is running, and returns the process
// ID of the daemon.
func (r *rig) booting(t *testing.T, name string) (daemon int) {
	t.Helper()
	eventually(t, waitLimit, "a machine of "+name+" is booting", func() error {
		if len(r.machines(t, name, "")) > 0 {
			if daemon = r.status(t, name).DaemonPID; daemon != 0 {
				return nil
			}
		}
		return fmt.Errorf("processes: %+v", processes(t, filepath.Join(r.home, "clusters", name)))
	})
	return daemon
}

// discard deletes a cluster that a failed test has left.
func (r *rig) discard(t *testing.T, name string) {
	if t.Failed() {
		r.dump(t, name)
	}
	if r.keep {
		return
	}
	if _, err := r.attempt(2*time.Minute, filepath.Join(r.root, "bin/skiff"), "down", name, "--delete-snapshots"); err != nil {
		t.Log(err)
	}
	for _, p := range processes(t, filepath.Join(r.home, "clusters", name)) {
		t.Logf("killing a leftover process: %d %s", p.pid, p.command)
		kill(t, p.pid)
	}
}
