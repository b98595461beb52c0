package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// partLimit is how long a clone may take to replace everything that its memory shares.
const partLimit = 40 * time.Minute

// testCloneMemory makes a cluster that continues with the memory of another one, and shares
// nothing with it once the daemon has replaced all credentials.
func testCloneMemory(t *testing.T, r *rig) {
	const name, clone, booted = "twin", "cloned", "booted"
	for _, one := range []string{name, clone, booted} {
		t.Cleanup(func() { r.discard(t, one) })
	}
	r.skiff(t, "up", name, "--control-planes", "1", "--workers", "0")
	r.load(t, name)
	k := (&kube{rig: r, context: "skiff-" + name}).in(t)
	k.kubectl(t, "run", "keeper", "--image=skiff.test/workload:1", "--restart=Always", "--command", "--", "sh", "-c", "while :; do sleep 1; done")
	k.wait(t, "condition=Ready", "pod/keeper")
	r.beforeClone(t, k)
	r.skiff(t, "snapshot", "create", "-c", name, "before")
	equal(t, "exit code without --from", r.trySkiff(t, "up", clone, "--with-memory").code, 2)
	contains(t, "dry run", r.skiff(t, "up", clone, "--from", name+"/before", "--with-memory", "--dry-run"), "resume control-plane-1 (saved)")

	a := r.trySkiff(t, "up", booted, "--from", name+"/before")
	t.Logf("without memory: exit code %d in %.1f s\n%s%s", a.code, a.took.Seconds(), a.stdout, a.stderr)
	equal(t, "exit code", a.code, 0)
	r.skiff(t, "down", booted)

	a = r.trySkiff(t, "up", clone, "--from", name+"/before", "--with-memory")
	t.Logf("with memory: exit code %d in %.1f s\n%s%s", a.code, a.took.Seconds(), a.stdout, a.stderr)
	began := time.Now()
	if a.code != 0 || strings.Contains(a.stdout+a.stderr, "not used") {
		r.dump(t, clone)
		t.FailNow()
	}
	c := &kube{rig: r, context: "skiff-" + clone, namespace: k.namespace}
	contains(t, "notes", strings.Join(r.status(t, clone).Notes, "\n"), "Credentials are still shared with "+name)
	r.assertClock(t, clone, "control-plane-1")
	equal(t, "the boot", c.get(t, "node/control-plane-1", ".status.nodeInfo.bootID"), k.get(t, "node/control-plane-1", ".status.nodeInfo.bootID"))
	eventually(t, partLimit, "all credentials are replaced", func() error {
		if notes := r.status(t, clone).Notes; len(notes) > 0 {
			return fmt.Errorf("%q", notes)
		}
		return nil
	})
	t.Logf("parted after %.0f s", time.Since(began).Seconds())
	equal(t, "restarts", c.get(t, "pod/keeper", ".status.containerStatuses[0].restartCount"), "0")
	c.kubectl(t, "get", "nodes") // with the kubeconfig that up merged
	r.assertApart(t, name, clone, k, c, "bootID of control-plane-1")
	c.asksAPI(t)
	// It boots as itself.
	r.skiff(t, "stop", clone, "--shutdown")
	r.skiff(t, "up", clone)
	c.asksAPI(t)
	r.assertApart(t, name, clone, k, c)
}
