package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/vm/home"
)

// testMemory creates a cluster whose memory is kept. The shared one has a folder of the host, so
// its memory cannot be kept.
func testMemory(t *testing.T, r *rig) {
	const name = "remembers"
	t.Cleanup(func() { r.discard(t, name) })
	r.skiff(t, "up", name, "--control-planes", "1", "--workers", "1")
	r.load(t, name)
	k := &kube{rig: r, context: "skiff-" + name}
	r.subtest(t, "Snapshot", func(t *testing.T) { testSnapshotMemory(t, r, name, k.in(t)) })
	r.subtest(t, "Hibernate", func(t *testing.T) { testHibernate(t, r, name, k.in(t)) })
}

// counting starts the pod of counts.
func counting(t *testing.T, k *kube) {
	t.Helper()
	k.kubectl(t, "run", "counting", "--image=skiff.test/workload:1", "--restart=Always", "--command", "--", "sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 1; done")
	k.wait(t, "condition=Ready", "pod/counting")
}

// testHibernate stops a cluster, whose memory is kept, and continues it. Then it damages the
// memory of the worker, which boots instead.
func testHibernate(t *testing.T, r *rig, name string, k *kube) {
	k.kubectl(t, "create", "deployment", "standing", "--image=skiff.test/workload:1", "--replicas=2")
	counting(t, k)
	k.rollout(t, "deployment/standing")
	r.memoryReturns(t, name, "worker-1")
	pods, counted := k.pods(t, "app=standing"), counts(t, k)

	r.hibernate(t, name)
	contains(t, "the plan", r.skiff(t, "up", name, "--dry-run"), "resume control-plane-1 (saved)", "resume worker-1 (saved)")
	a := r.trySkiff(t, "up", name)
	t.Logf("up: exit code %d in %.1f s\n%s%s", a.code, a.took.Seconds(), a.stdout, a.stderr)
	equal(t, "exit code of up", a.code, 0)
	if strings.Contains(a.stdout, "not used") {
		t.Error("memory was not used")
	}
	nodes := r.running(t, name).Nodes
	for _, n := range nodes {
		r.assertClock(t, name, n.Name)
	}
	assertResumed(t, r, name, k, nodes, pods)
	eventually(t, waitLimit, "the counter continues", func() error {
		if now := counts(t, k); len(now) <= len(counted) {
			return fmt.Errorf("it counted to %d before, and now to %d", len(counted), len(now))
		}
		return nil
	})
	equal(t, "restarts", k.get(t, "pod/counting", ".status.containerStatuses[0].restartCount"), "0")

	r.hibernate(t, name)
	damage(t, filepath.Join(home.Home(r.home).Cluster(name).Machines(), "worker-1", "saved.memory"))
	a = r.trySkiff(t, "up", name)
	t.Logf("up with damaged memory: exit code %d in %.1f s\n%s%s", a.code, a.took.Seconds(), a.stdout, a.stderr)
	equal(t, "exit code of up", a.code, 0)
	contains(t, "up", a.stdout, "its saved memory was not used: its memory: the checksum is wrong; booted instead")
	r.running(t, name)
	k.rollout(t, "deployment/standing")
}

// memoryReturns fills and frees memory of a VM, which the host has again soon after.
func (r *rig) memoryReturns(t *testing.T, cluster, node string) {
	t.Helper()
	const filledMiB, enough = 300, 200
	used := func() int {
		for _, n := range r.status(t, cluster).Nodes {
			if n.Name == node {
				return n.HostMemoryMiB
			}
		}
		return 0
	}
	before := used()
	r.skiff(t, "shell", "-c", cluster, node, "--", "dd", "if=/dev/zero", "of=/run/filled", "bs=1M", fmt.Sprintf("count=%d", filledMiB))
	filled := used()
	r.skiff(t, "shell", "-c", cluster, node, "--", "rm", "/run/filled")
	freed := time.Now()
	eventually(t, 30*time.Second, "the host has the memory again", func() error {
		if now := used(); now > filled-enough {
			return fmt.Errorf("%s takes %d MiB of the host, %d before %d were filled, and %d then", node, now, before, filledMiB, filled)
		}
		return nil
	})
	t.Logf("%s took %d MiB of the host, then %d, and %d %.1f s after %d MiB were freed", node, before, filled, used(), time.Since(freed).Seconds(), filledMiB)
}

// counts returns the log of the counting pod, which must count from 1 on without a gap.
func counts(t *testing.T, k *kube) []string {
	t.Helper()
	lines := strings.Fields(k.kubectl(t, "logs", "counting"))
	for i, line := range lines {
		if line != strconv.Itoa(i+1) {
			t.Fatalf("line %d of the counter is %q", i+1, line)
		}
	}
	return lines
}

// hibernate stops a cluster of VMs and checks that only its memory and disks are left.
func (r *rig) hibernate(t *testing.T, name string) {
	t.Helper()
	a := r.trySkiff(t, "stop", name)
	t.Logf("stop: exit code %d in %.1f s\n%s%s", a.code, a.took.Seconds(), a.stdout, a.stderr)
	equal(t, "exit code of stop", a.code, 0)
	contains(t, "stop", a.stdout, "of memory kept on disk")
	for _, p := range processes(t, filepath.Join(r.home, "clusters", name)) {
		if strings.Contains(p.command, "qemu-system-") {
			t.Errorf("process %d is left: %s", p.pid, p.command)
		}
	}
	status := r.status(t, name)
	equal(t, "phase", status.Phase, "stopped")
	for _, n := range status.Nodes {
		equal(t, "machine of "+n.Name, n.Machine, "saved")
	}
	contains(t, "list", r.skiff(t, "list"), "stopped, memory kept")
}

// damage changes one byte of a page that has data.
func damage(t *testing.T, path string) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	page := make([]byte, 4096)
	for at := int64(0); ; at += int64(len(page)) {
		if _, err := file.ReadAt(page, at); err != nil {
			t.Fatal(err)
		}
		for i, value := range page {
			if value == 0 {
				continue
			}
			if _, err := file.WriteAt([]byte{value + 1}, at+int64(i)); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
}
