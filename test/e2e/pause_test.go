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

// A paused cluster is watched for so long, and each machine may take so little of
// the processor meanwhile: what runs it on the host has a clock to look at.
const (
	standstill = 10 * time.Second
	stirring   = standstill / 50
)

// testPause pauses the shared cluster twice; first resume, then up lets it go on.
func testPause(t *testing.T, r *rig, name string, k *kube) {
	k = k.in(t)
	k.kubectl(t, "create", "deployment", "standing", "--image=skiff.test/workload:1", "--replicas=2")
	k.rollout(t, "deployment/standing")
	pods, machines := k.pods(t, "app=standing"), r.running(t, name).Nodes

	r.pauses(t, name)
	contains(t, "a second pause", r.skiff(t, "pause", name), "already paused")
	r.standsStill(t, name)
	for _, args := range [][]string{
		{"shell", "-c", name, "worker-1", "--", "true"}, {"logs", "-c", name}, {"image", "list", "-c", name}, {"etcd", "members", name},
	} {
		a := r.trySkiff(t, args...)
		if want := fmt.Sprintf("skiff: cluster %q is paused: `skiff resume %s` lets it go on\n", name, name); a.code != 1 || a.stderr != want {
			t.Errorf("skiff %s: exit code %d, %q", strings.Join(args, " "), a.code, a.stderr)
		}
	}
	// kubectl's library tries ten times, a second apart, and is refused each time.
	if a := k.try(t, "get", "nodes", "--request-timeout", "1m"); a.code == 0 || a.took > 30*time.Second {
		t.Errorf("kubectl: exit code %d after %s, %s", a.code, a.took, a.stdout)
	}

	a := r.trySkiff(t, "resume", name)
	t.Logf("resume: exit code %d in %.1f s\n%s%s", a.code, a.took.Seconds(), a.stdout, a.stderr)
	equal(t, "exit code of resume", a.code, 0)
	for _, n := range machines {
		r.tellsTheTime(t, name, n.Name)
	}
	goesOn(t, r, name, k, machines, pods)
	contains(t, "a second resume", r.skiff(t, "resume", name), "not paused")

	r.pauses(t, name)
	contains(t, "the plan", r.skiff(t, "up", name, "--dry-run"), "resume control-plane-1 (paused)", "resume worker-2 (paused)")
	a = r.trySkiff(t, "up", name)
	t.Logf("up of a paused cluster: exit code %d in %.1f s\n%s%s", a.code, a.took.Seconds(), a.stdout, a.stderr)
	equal(t, "exit code of up", a.code, 0)
	goesOn(t, r, name, k, machines, pods)
	if r.sandboxed {
		r.endsWhatIsFrozen(t, name)
	}
}

// endsWhatIsFrozen kills the daemon of a paused cluster of sandboxes, whose programs
// cannot die as long as they are frozen in cgroups of the first version.
func (r *rig) endsWhatIsFrozen(t *testing.T, name string) {
	t.Helper()
	r.pauses(t, name)
	kill(t, r.status(t, name).DaemonPID)
	contains(t, "stop", r.skiff(t, "stop", name), "already stopped")
	if left := cgroups(t, filepath.Join(r.home, "clusters", name)); len(left) > 0 {
		t.Errorf("left by stop: %v", left)
	}
	r.skiff(t, "up", name)
	r.running(t, name)
}

// pauses pauses a cluster, which status and list then show.
func (r *rig) pauses(t *testing.T, name string) {
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

// standsStill fails the test if a paused machine takes processor time, or loses
// memory.
func (r *rig) standsStill(t *testing.T, name string) {
	t.Helper()
	before := r.status(t, name).Nodes
	time.Sleep(standstill)
	for i, n := range r.status(t, name).Nodes {
		took := time.Duration((n.HostCPUSeconds - before[i].HostCPUSeconds) * float64(time.Second))
		t.Logf("%s, paused, took %s of the processor in %s; %d MiB of the host's memory, before %d", n.Name, took, standstill, n.HostMemoryMiB, before[i].HostMemoryMiB)
		if took > stirring || n.HostCPUSeconds == 0 {
			t.Errorf("%s took %s of the processor, %.2f s in all", n.Name, took, n.HostCPUSeconds)
		}
		if n.HostMemoryMiB < before[i].HostMemoryMiB/2 {
			t.Errorf("%s has %d MiB of memory, had %d", n.Name, n.HostMemoryMiB, before[i].HostMemoryMiB)
		}
	}
}

// tellsTheTime fails the test if a node's clock is not the host's.
func (r *rig) tellsTheTime(t *testing.T, name, node string) {
	t.Helper()
	const blur = 5 * time.Second // the clock was set over a network, of which an emulated node is slow
	asked := time.Now()
	said, err := strconv.ParseInt(strings.TrimSpace(r.skiff(t, "shell", "-c", name, node, "--", "date", "+%s")), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	if at := time.Unix(said, 0); at.Before(asked.Add(-blur)) || at.After(time.Now().Add(blur)) {
		t.Errorf("the clock of %s says %s, the host's said %s before", node, at, asked)
	}
}

// goesOn fails the test unless a cluster works with the machines and the pods that
// it had.
func goesOn(t *testing.T, r *rig, name string, k *kube, machines []daemonapi.NodeStatus, pods []pod) {
	t.Helper()
	for i, n := range r.running(t, name).Nodes {
		if !n.Started.Equal(machines[i].Started) {
			t.Errorf("machine %s was started at %s, now says %s", n.Name, machines[i].Started, n.Started)
		}
	}
	eventually(t, patience, "the pods are ready", func() error {
		for _, p := range k.pods(t, "app=standing") {
			if !p.ready {
				return fmt.Errorf("%+v", p)
			}
		}
		return nil
	})
	now := k.pods(t, "app=standing")
	if !slices.Equal(now, pods) {
		t.Errorf("pods %+v\nbefore %+v", now, pods)
	}
	for _, p := range now {
		equal(t, "answer of "+p.name, strings.TrimSpace(k.kubectl(t, "exec", p.name, "--", "hostname")), p.name)
	}
	// Controllers, scheduler and kubelets work.
	k.kubectl(t, "create", "job", "after-"+strconv.FormatInt(time.Now().UnixNano(), 36), "--image=skiff.test/workload:1", "--", "true")
	k.wait(t, "condition=Complete", "job", "--all")
}
