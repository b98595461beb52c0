package e2e

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// A paused cluster is observed for frozenTime. Each machine may use maxFrozenCPU of
// CPU time meanwhile, because its process on the host still has timers.
const (
	frozenTime   = 10 * time.Second
	maxFrozenCPU = frozenTime / 50
)

// testPause pauses the shared cluster twice, and resumes it with resume and with
// up.
func testPause(t *testing.T, r *rig, name string, k *kube) {
	k = k.in(t)
	k.kubectl(t, "create", "deployment", "standing", "--image=skiff.test/workload:1", "--replicas=2")
	k.rollout(t, "deployment/standing")
	pods, machines := k.pods(t, "app=standing"), r.running(t, name).Nodes

	r.pause(t, name)
	contains(t, "a second pause", r.skiff(t, "pause", name), "already paused")
	r.assertFrozen(t, name)
	for _, args := range [][]string{
		{"shell", "-c", name, "worker-1", "--", "true"}, {"logs", "-c", name}, {"image", "list", "-c", name}, {"etcd", "members", name},
	} {
		a := r.trySkiff(t, args...)
		if want := fmt.Sprintf("skiff: cluster %q is paused: run `skiff resume %s` first\n", name, name); a.code != 1 || a.stderr != want {
			t.Errorf("skiff %s: exit code %d, %q", strings.Join(args, " "), a.code, a.stderr)
		}
	}
	// client-go retries ten times, once per second, and is refused each time.
	if a := k.try(t, "get", "nodes", "--request-timeout", "1m"); a.code == 0 || a.took > 30*time.Second {
		t.Errorf("kubectl: exit code %d after %s, %s", a.code, a.took, a.stdout)
	}

	a := r.trySkiff(t, "resume", name)
	t.Logf("resume: exit code %d in %.1f s\n%s%s", a.code, a.took.Seconds(), a.stdout, a.stderr)
	equal(t, "exit code of resume", a.code, 0)
	for _, n := range machines {
		r.assertClock(t, name, n.Name)
	}
	assertResumed(t, r, name, k, machines, pods)
	contains(t, "a second resume", r.skiff(t, "resume", name), "not paused")

	r.pause(t, name)
	contains(t, "the plan", r.skiff(t, "up", name, "--dry-run"), "resume control-plane-1 (paused)", "resume worker-2 (paused)")
	a = r.trySkiff(t, "up", name)
	t.Logf("up of a paused cluster: exit code %d in %.1f s\n%s%s", a.code, a.took.Seconds(), a.stdout, a.stderr)
	equal(t, "exit code of up", a.code, 0)
	assertResumed(t, r, name, k, machines, pods)
	if r.sandboxed {
		r.stopFrozen(t, name)
	}
}

// stopFrozen kills the daemon of a paused cluster of sandboxes and stops the
// cluster. With cgroup v1, frozen programs cannot exit.
func (r *rig) stopFrozen(t *testing.T, name string) {
	t.Helper()
	r.pause(t, name)
	kill(t, r.status(t, name).DaemonPID)
	contains(t, "stop", r.skiff(t, "stop", name), "already stopped")
	if left := cgroups(t, filepath.Join(r.home, "clusters", name)); len(left) > 0 {
		t.Errorf("left by stop: %v", left)
	}
	r.skiff(t, "up", name)
	r.running(t, name)
}

// setAside pauses a cluster until a test and its subtests end, so that its emulated machines
// leave the CPUs to those of the test.
func (r *rig) setAside(t *testing.T, name string) {
	t.Helper()
	r.skiff(t, "pause", name)
	t.Cleanup(func() { r.skiff(t, "resume", name) })
}

// pause pauses a cluster, and checks that status and list show it.
func (r *rig) pause(t *testing.T, name string) {
	t.Helper()
	a := r.trySkiff(t, "pause", name)
	t.Logf("pause: exit code %d in %.1f s\n%s%s", a.code, a.took.Seconds(), a.stdout, a.stderr)
	equal(t, "exit code of pause", a.code, 0)
	status := r.status(t, name)
	equal(t, "phase", status.Phase, "paused")
	for _, n := range status.Nodes {
		equal(t, "machine of "+n.Name, n.Machine, "paused")
	}
	contains(t, "status", r.skiff(t, "status", name), name+", paused")
	contains(t, "list", r.skiff(t, "list"), "paused")
}

// assertFrozen checks that paused machines use no CPU time and keep their memory.
func (r *rig) assertFrozen(t *testing.T, name string) {
	t.Helper()
	before := r.status(t, name).Nodes
	time.Sleep(frozenTime)
	for i, n := range r.status(t, name).Nodes {
		took := time.Duration((n.HostCPUSeconds - before[i].HostCPUSeconds) * float64(time.Second))
		t.Logf("%s used %s of CPU time in %s while paused, and %d MiB of memory, before %d", n.Name, took, frozenTime, n.HostMemoryMiB, before[i].HostMemoryMiB)
		if took > maxFrozenCPU || n.HostCPUSeconds == 0 {
			t.Errorf("%s used %s of CPU time, %.2f s in total", n.Name, took, n.HostCPUSeconds)
		}
		if n.HostMemoryMiB < before[i].HostMemoryMiB/2 {
			t.Errorf("%s uses %d MiB of memory, before %d", n.Name, n.HostMemoryMiB, before[i].HostMemoryMiB)
		}
	}
}

// assertClock checks that a node has the time of the host.
func (r *rig) assertClock(t *testing.T, name, node string) {
	t.Helper()
	const tolerance = 5 * time.Second // setting the clock takes time on an emulated node
	start := time.Now()
	seconds, err := strconv.ParseInt(strings.TrimSpace(r.skiff(t, "shell", "-c", name, node, "--", "date", "+%s")), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	if at := time.Unix(seconds, 0); at.Before(start.Add(-tolerance)) || at.After(time.Now().Add(tolerance)) {
		t.Errorf("the time on %s is %s, on the host it was %s before", node, at, start)
	}
}

// assertResumed checks that a cluster works, with the same machines and pods as
// before.
func assertResumed(t *testing.T, r *rig, name string, k *kube, machines []daemonapi.NodeStatus, pods []pod) {
	t.Helper()
	for i, n := range r.running(t, name).Nodes {
		if !n.Started.Equal(machines[i].Started) {
			t.Errorf("machine %s was started at %s before, now at %s", n.Name, machines[i].Started, n.Started)
		}
	}
	eventually(t, waitLimit, "the pods are ready", func() error {
		for _, p := range k.pods(t, "app=standing") {
			if !p.ready {
				return fmt.Errorf("%+v", p)
			}
		}
		return nil
	})
	now := k.pods(t, "app=standing")
	if !slices.Equal(now, pods) {
		t.Errorf("pods are %+v\nbefore: %+v", now, pods)
	}
	for _, p := range now {
		equal(t, "answer of "+p.name, strings.TrimSpace(k.kubectl(t, "exec", p.name, "--", "hostname")), p.name)
	}
	// Controllers, scheduler and kubelets work.
	k.kubectl(t, "create", "job", "after-"+strconv.FormatInt(time.Now().UnixNano(), 36), "--image=skiff.test/workload:1", "--", "true")
	k.wait(t, "condition=Complete", "job", "--all")
}
