package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asleep is longer than the control plane waits for the lease of a node (50 s), and than
// etcd's members and the leases of controllers wait for each other.
const asleep = 70 * time.Second

// testHostSleeps stops all processes of a cluster for a while, and lets them continue: every
// node is Ready again and no pod was restarted or moved, without a command of the user.
// Their clocks run meanwhile, which is harder than the sleep of a laptop.
func testHostSleeps(t *testing.T, r *rig) {
	const name = "sleeper"
	t.Cleanup(func() { r.discard(t, name) })
	r.skiff(t, "up", name, "--control-planes", "3", "--workers", "1", "--memory", "1536Mi")
	r.load(t, name)
	k := &kube{rig: r, context: "skiff-" + name, namespace: "default"}
	k.kubectl(t, "create", "deployment", "standing", "--image=skiff.test/workload:1", "--replicas=2")
	k.rollout(t, "deployment/standing")
	pods, status := k.pods(t, "app=standing"), r.running(t, name)

	wake := stopFamily(t, status.DaemonPID)
	time.Sleep(asleep)
	wake()
	woke := time.Now()
	eventually(t, waitLimit, "the API server answers", func() error {
		if a := k.try(t, "get", "--raw", "/readyz", "--request-timeout", "5s"); a.code != 0 {
			return errors.New(a.stderr)
		}
		return nil
	})
	t.Logf("the API server answered %.1f s after %s asleep", time.Since(woke).Seconds(), asleep)
	k.wait(t, "condition=Ready", "nodes", "--all")
	t.Logf("all nodes were Ready after %.1f s", time.Since(woke).Seconds())
	assertResumed(t, r, name, k, status.Nodes, pods)
	// What would have been due while the host slept must not come late.
	time.Sleep(20 * time.Second)
	assertResumed(t, r, name, k, status.Nodes, pods)
	r.skiff(t, "down", name)
	r.assertNoTraces(t, name)
}

// stopFamily stops a process and all that descend from it, until the returned function or
// the test ends.
func stopFamily(t *testing.T, ancestor int) (wake func()) {
	t.Helper()
	stopped := []int{ancestor}
	wake = func() {
		for _, pid := range slices.Backward(stopped) {
			_ = syscall.Kill(pid, syscall.SIGCONT)
		}
		stopped = nil
	}
	t.Cleanup(func() { wake() })
	if err := syscall.Kill(ancestor, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(stopped); i++ { // a stopped process has no new children
		for _, child := range children(t, stopped[i]) {
			if syscall.Kill(child, syscall.SIGSTOP) == nil {
				stopped = append(stopped, child)
			}
		}
	}
	t.Logf("%d processes are stopped", len(stopped))
	return wake
}

// children returns the processes that any thread of a process started.
func children(t *testing.T, pid int) []int {
	t.Helper()
	lists, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task/*/children"))
	if err != nil {
		t.Fatal(err)
	}
	var all []int
	for _, list := range lists {
		content, _ := os.ReadFile(list) // the thread may have ended
		for _, field := range strings.Fields(string(content)) {
			child, err := strconv.Atoi(field)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, child)
		}
	}
	return all
}
