package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/snapshot"
)

// testSnapshot returns to a snapshot again and again, also when the daemon is killed meanwhile.
// What is on the disks of nodes, the objects of the cluster and its nodes are then those of the
// snapshot.
func testSnapshot(t *testing.T, r *rig) {
	const name = "snapped"
	t.Cleanup(func() { r.discard(t, name) })
	r.skiff(t, "up", name, "--control-planes", "1", "--workers", "1")
	r.load(t, name)
	k := (&kube{rig: r, context: "skiff-" + name}).in(t)
	k.apply(t, "claim.yaml")
	k.apply(t, "claim-pod.yaml")
	k.wait(t, "condition=Ready", "pod/keeper")
	k.kubectl(t, "create", "configmap", "when", "--from-literal=is=old")
	k.kubectl(t, "create", "secret", "generic", "key", "--from-literal=is=old")
	k.sh(t, "keeper", "echo old > /data/when && sync")
	r.beforeClone(t, k)
	objects := func() string {
		return k.kubectl(t, "get", "configmaps,secrets,services,deployments,persistentvolumeclaims,serviceaccounts", "-o",
			`jsonpath={range .items[*]}{.kind} {.metadata.name} {.metadata.uid} {.metadata.resourceVersion} {.data}{"\n"}{end}`)
	}
	old := objects()

	a := r.trySkiff(t, "snapshot", "create", "-c", name, "before")
	t.Logf("snapshot create: exit code %d in %.1f s\n%s%s", a.code, a.took.Seconds(), a.stdout, a.stderr)
	equal(t, "exit code of create", a.code, 0)
	equal(t, "exit code of a second one", r.trySkiff(t, "snapshot", "create", "-c", name, "before").code, 2)
	k.sh(t, "keeper", "cat /data/when") // it continued

	for range 2 {
		r.changeAfterSnapshot(t, name, k)
		a = r.trySkiff(t, "snapshot", "restore", "-c", name, "before", "--yes")
		t.Logf("snapshot restore: exit code %d in %.1f s\n%s%s", a.code, a.took.Seconds(), a.stdout, a.stderr)
		equal(t, "exit code of restore", a.code, 0)
		r.assertAsBefore(t, name, k, objects, old)
	}
	k.kubectl(t, "create", "job", "after", "--image=skiff.test/workload:1", "--", "true")
	k.wait(t, "condition=Complete", "job/after")

	for _, when := range []string{"staged", "replacing"} {
		r.changeAfterSnapshot(t, name, k)
		r.killWhileItRestores(t, name, when)
		r.skiff(t, "up", name)
		if got := k.get(t, "configmap/when", ".data.is"); got != "old" {
			equal(t, "the object", got, "new") // undone, all of it
			eventually(t, waitLimit, "the file", func() error { return r.file(k, "new") })
			r.skiff(t, "snapshot", "restore", "-c", name, "before", "--yes")
		}
		r.assertAsBefore(t, name, k, objects, old)
	}
	r.clonesSnapshot(t, name, k)
	r.removesSnapshots(t, name)
}

// changeAfterSnapshot changes objects, a file and the nodes.
func (r *rig) changeAfterSnapshot(t *testing.T, name string, k *kube) {
	t.Helper()
	k.kubectl(t, "patch", "configmap", "when", "--patch", `{"data":{"is":"new"}}`)
	k.kubectl(t, "create", "configmap", "later")
	k.kubectl(t, "delete", "secret", "key")
	eventually(t, waitLimit, "the file is written", func() error {
		a := k.try(t, "exec", "keeper", "--", "sh", "-c", "echo new > /data/when && sync")
		if a.code != 0 {
			return errors.New(a.stderr)
		}
		return nil
	})
	r.skiff(t, "up", name, "--workers", "2")
}

// file returns an error unless the file of the keeper has the content.
func (r *rig) file(k *kube, want string) error {
	if got := strings.TrimSpace(k.anyway("exec", "keeper", "--", "cat", "/data/when")); got != want {
		return fmt.Errorf("it has %q, want %q", got, want)
	}
	return nil
}

// assertAsBefore fails the test unless everything is as it was when the snapshot was taken.
func (r *rig) assertAsBefore(t *testing.T, name string, k *kube, objects func() string, old string) {
	t.Helper()
	equal(t, "objects", objects(), old)
	eventually(t, waitLimit, "the file", func() error { return r.file(k, "old") })
	var nodes []string
	for _, n := range r.running(t, name).Nodes {
		nodes = append(nodes, n.Name)
	}
	equal(t, "nodes", fmt.Sprint(nodes), "[control-plane-1 worker-1]")
	eventually(t, waitLimit, "the Node objects", func() error {
		if got := k.anyway("get", "nodes", "-o", "name"); strings.TrimSpace(got) != "node/control-plane-1\nnode/worker-1" {
			return fmt.Errorf("%q", got)
		}
		return nil
	})
}

// killWhileItRestores kills the daemon, and with it the machines, while it restores: when the
// machines of the snapshot are being copied, or when they take their places.
func (r *rig) killWhileItRestores(t *testing.T, name, when string) {
	t.Helper()
	dir := home.Home(r.home).Cluster(name)
	command := r.background(t, "snapshot", "restore", "-c", name, "before", "--yes")
	daemon := r.status(t, name).DaemonPID
	for began := time.Now(); time.Since(began) < waitLimit; time.Sleep(100 * time.Microsecond) {
		_, err := os.Lstat(dir.Restoring() + "/cluster.json")
		if err == nil && when == "staged" {
			break
		}
		if when == "replacing" && errors.Is(err, fs.ErrNotExist) && snapshot.Pending(dir) {
			break
		}
		if _, err := os.Lstat(dir.Restoring() + ".gone"); err == nil {
			break
		}
	}
	kill(t, daemon)
	_ = command.Wait()
	t.Logf("killed %s: %s", when, command.output.String())
}

// removesSnapshots lists and removes the snapshot of a cluster, which is not removed before.
func (r *rig) removesSnapshots(t *testing.T, name string) {
	t.Helper()
	var all []struct {
		Name  string
		Bytes int64
		Nodes []string
	}
	if err := json.Unmarshal([]byte(r.skiff(t, "snapshot", "list", name, "-o", "json")), &all); err != nil {
		t.Fatal(err)
	}
	if len(all) != 1 || all[0].Name != "before" || all[0].Bytes == 0 || !slices.Equal(all[0].Nodes, []string{"control-plane-1", "worker-1"}) {
		t.Errorf("list: %+v", all)
	}
	contains(t, "status", r.skiff(t, "status", name), "Snapshots   1")
	contains(t, "prune", r.skiff(t, "prune", "--dry-run"), "snapshots of clusters use")
	a := r.trySkiff(t, "down", name)
	equal(t, "exit code of down", a.code, 2)
	contains(t, "down", a.stderr, "has 1 snapshot; add --delete-snapshots")
	r.skiff(t, "snapshot", "rm", "-c", name, "before")
	equal(t, "exit code of rm", r.trySkiff(t, "snapshot", "rm", "-c", name, "before").code, 2)
	contains(t, "list", r.skiff(t, "snapshot", "list", name), "has no snapshots")
	r.skiff(t, "down", name)
	r.assertNoTraces(t, name)
}

// lateCount is how many seconds after the snapshot its first restore begins.
const lateCount = 120

// testSnapshotMemory returns to a snapshot of VMs, in which a program that counts in its memory
// continues from there.
func testSnapshotMemory(t *testing.T, r *rig, name string, k *kube) {
	counting(t, k)
	a := r.trySkiff(t, "snapshot", "create", "-c", name, "before")
	t.Logf("snapshot create: exit code %d in %.1f s\n%s%s", a.code, a.took.Seconds(), a.stdout, a.stderr)
	equal(t, "exit code of create", a.code, 0)
	if strings.Contains(a.stdout, "without") {
		t.Error("the snapshot has no memory")
	}
	then := len(counts(t, k))
	for round := range 2 {
		if round == 0 { // until it has counted further than it can during a restore
			eventually(t, waitLimit, "the counter continues", func() error {
				if now := len(counts(t, k)); now < then+lateCount {
					return fmt.Errorf("it counted to %d before, and now to %d", then, now)
				}
				return nil
			})
		}
		k.kubectl(t, "create", "configmap", "later")
		a = r.trySkiff(t, "snapshot", "restore", "-c", name, "before", "--yes")
		t.Logf("snapshot restore: exit code %d in %.1f s\n%s%s", a.code, a.took.Seconds(), a.stdout, a.stderr)
		equal(t, "exit code of restore", a.code, 0)
		if strings.Contains(a.stdout, "not used") {
			t.Error("memory was not used")
		}
		if now := len(counts(t, k)); round == 0 && now >= then+lateCount {
			t.Errorf("it counted to %d when the snapshot was taken, and now to %d", then, now)
		}
		equal(t, "restarts", k.get(t, "pod/counting", ".status.containerStatuses[0].restartCount"), "0")
		equal(t, "objects that are later", k.anyway("get", "configmap", "later", "--ignore-not-found", "-o", "name"), "")
		for _, n := range r.running(t, name).Nodes {
			r.assertClock(t, name, n.Name)
		}
	}
}
