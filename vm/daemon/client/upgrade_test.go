package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-dev/skiff/images/manifest"
	"github.com/skiff-dev/skiff/images/manifest/manifesttest"
	"github.com/skiff-dev/skiff/internal/snapshot"
	"github.com/skiff-dev/skiff/internal/snapshot/snapshottest"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/machine"
)

// putImage writes a node image of a release, whose digest consists of one digit.
func putImage(t *testing.T, dir, release, digit string) {
	t.Helper()
	putImageFor(t, dir, "amd64", release, digit)
}

func putImageFor(t *testing.T, dir, arch, release, digit string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	// A hard link must keep the content of the image before.
	for _, name := range []string{manifest.Kernel, manifest.Initramfs, manifest.Root, manifest.Builder, manifest.Name} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	m, err := manifesttest.WriteFor(dir, arch, release)
	if err != nil {
		t.Fatal(err)
	}
	m.Digest = digestOf(digit)
	content, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, manifest.Name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func digestOf(digit string) string { return "sha256:" + strings.Repeat(digit, 64) }

// versionImages returns a directory with an image of each of three versions.
func versionImages(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	putImage(t, dir, "v1.36.3", "6")
	putImage(t, filepath.Join(dir, "1.35"), "v1.35.8", "5")
	putImage(t, filepath.Join(dir, "1.37"), "v1.37.2", "7")
	return dir
}

// upgradeRig starts a cluster of 1.35.
func upgradeRig(t *testing.T, planes, workers int) *rig {
	t.Helper()
	w := newEnvironment()
	w.snapshot = snapshottest.Snapshot(t)
	spec := small("demo")
	spec.ControlPlanes, spec.Workers, spec.KubernetesVersion = planes, workers, "1.35"
	r := startRig(t, w, shortHome(t), spec, versionImages(t))
	up(t, r.client, r.spec)
	return r
}

func (r *rig) upgrade(t *testing.T, version string) error {
	t.Helper()
	return r.client.Upgrade(t.Context(), version, daemonapi.Draining{Timeout: 50 * time.Millisecond}, ignore)
}

// releases returns what the nodes run.
func (r *rig) releases() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for _, name := range slices.Sorted(maps.Keys(r.running)) {
		all = append(all, r.running[name].Kubernetes)
	}
	return strings.Join(all, " ")
}

// whole fails the test unless nothing is left to do in a cluster whose nodes all run a
// release.
func (r *rig) whole(t *testing.T, release string, digit string) {
	t.Helper()
	state, err := cluster.ReadState(r.home.Cluster("demo").State())
	if err != nil {
		t.Fatal(err)
	}
	if state.Upgrade != nil || state.Image != digestOf(digit) || state.Kubernetes != release || state.Spec.KubernetesVersion != manifest.Minor(release) {
		t.Errorf("the state has the image %s, Kubernetes %s (%s) and the upgrade %+v", state.Image, state.Kubernetes, state.Spec.KubernetesVersion, state.Upgrade)
	}
	if plan, err := r.client.Plan(t.Context(), state.Spec); err != nil || len(plan) > 0 {
		t.Errorf("left to do: %v, %v", plan, err)
	}
	if want := strings.TrimSpace(strings.Repeat(release+" ", len(state.Machines))); r.releases() != want {
		t.Errorf("the nodes run %s", r.releases())
	}
	for _, n := range state.Desired() {
		_, taints := r.object(n.Name)
		if at, _ := r.driver.State(t.Context(), n.Name); at != machine.StateRunning || r.objects[n.Name].Spec.Unschedulable {
			t.Errorf("%s is %s, taints %v", n.Name, at, taints)
		}
	}
	kept, err := os.ReadDir(r.home.Cluster("demo").Images())
	if err != nil || len(kept) != 1 || "sha256:"+kept[0].Name() != digestOf(digit) {
		t.Errorf("kept images: %v, %v", kept, err)
	}
}

func TestUpgradeRollsThroughTheNodes(t *testing.T) {
	r := upgradeRig(t, 3, 2)
	plan, err := r.client.PlanUpgrade(t.Context(), "1.36")
	if err != nil || plan.From.Kubernetes != "v1.35.8" || plan.To.Kubernetes != "v1.36.3" {
		t.Fatalf("%+v, %v", plan, err)
	}
	status, err := r.client.Status(t.Context())
	if err != nil || status.Upgrade != nil || r.releases() != "v1.35.8 v1.35.8 v1.35.8 v1.35.8 v1.35.8" {
		t.Errorf("a plan changes %+v, %v", status, err)
	}
	var printed []string
	for _, step := range plan.Steps {
		printed = append(printed, step.ID())
	}
	done := carriedOut(t, plan.Steps, func(ctx context.Context, event func(daemonapi.Event)) error {
		return r.client.Upgrade(ctx, "1.36", daemonapi.Draining{}, event)
	})
	if !slices.Equal(printed, done) {
		t.Errorf("the plan was\n%s\nand this was done\n%s", strings.Join(printed, "\n"), strings.Join(done, "\n"))
	}
	r.whole(t, "v1.36.3", "6")
	if _, err := snapshot.Verify(r.home.Cluster("demo").UpgradeSnapshot()); err != nil {
		t.Error(err)
	}
	before := r.boots
	if err := r.upgrade(t, ""); err != nil || r.boots != before {
		t.Errorf("nothing to upgrade: %v, %d boots", err, r.boots-before)
	}
	if err := r.upgrade(t, "1.37"); err != nil {
		t.Error(err)
	}
	r.whole(t, "v1.37.2", "7")
	if status, err = r.client.Status(t.Context()); err != nil || status.Nodes[0].Kubernetes != "v1.37.2" || status.Nodes[0].Image != digestOf("7") || status.Nodes[0].Outdated {
		t.Errorf("%+v, %v", status.Nodes[0], err)
	}
	r.stopped(t)
	again := startRig(t, r.environment, r.home, small("demo"), r.images)
	spec, err := again.client.Spec()
	if err != nil {
		t.Fatal(err)
	}
	up(t, again.client, spec)
	again.whole(t, "v1.37.2", "7")
}

func TestNodesWithAnOlderImageAreMarkedAndGetTheNewOne(t *testing.T) {
	r := upgradeRig(t, 1, 1)
	putImage(t, filepath.Join(r.images, "1.35"), "v1.35.9", "9")
	status, err := r.client.Status(t.Context())
	if err != nil || !status.Nodes[0].Outdated || !status.Nodes[1].Outdated || status.Nodes[1].Kubernetes != "v1.35.8" {
		t.Errorf("%+v, %v", status.Nodes, err)
	}
	// The daemon marks them, too, for the dashboard in the browser.
	bare := client.New(client.Config{Home: r.home, Name: "demo"})
	if status, err := bare.Status(t.Context()); err != nil || !status.Nodes[0].Outdated {
		t.Errorf("from the daemon: %+v, %v", status.Nodes, err)
	}
	t.Log("a node that is added meanwhile gets the cluster's image")
	more := r.spec
	more.Workers = 2
	up(t, r.client, more)
	if r.releases() != "v1.35.8 v1.35.8 v1.35.8" {
		t.Errorf("the nodes run %s", r.releases())
	}
	if err := r.upgrade(t, ""); err != nil {
		t.Fatal(err)
	}
	r.whole(t, "v1.35.9", "9")
	if status, err = r.client.Status(t.Context()); err != nil || status.Nodes[0].Outdated {
		t.Errorf("%+v, %v", status.Nodes, err)
	}
}

func TestNodesWithoutAPodNetworkAreUpgraded(t *testing.T) {
	w := newEnvironment()
	w.snapshot = snapshottest.Snapshot(t)
	spec := small("demo")
	spec.Workers, spec.KubernetesVersion, spec.Network.CNI = 1, "1.35", cluster.PartNone
	r := startRig(t, w, shortHome(t), spec, versionImages(t))
	r.setReady("control-plane-1", false)
	r.setReady("worker-1", false)
	up(t, r.client, r.spec)
	if err := r.upgrade(t, "1.36"); err != nil {
		t.Fatal(err)
	}
	r.whole(t, "v1.36.3", "6")
}

func TestAnUpgradeThatIsNotPossibleChangesNothing(t *testing.T) {
	r := upgradeRig(t, 1, 1)
	gates := r.spec
	gates.Kubernetes.FeatureGates = map[string]bool{"ContextualLogging": true}
	before := files(t, r.home.Cluster("demo"))
	for version, want := range map[string]string{
		"1.37": "must not skip a minor version", "1.34": "unknown version of Kubernetes", "1.36.3": "unknown version of Kubernetes", "x": "unknown version of Kubernetes",
	} {
		for what, ask := range map[string]func() error{
			"upgrade": func() error { return r.upgrade(t, version) },
			"plan":    func() error { _, err := r.client.PlanUpgrade(t.Context(), version); return err },
		} {
			var failure *daemonapi.Failure
			if err := ask(); !errors.As(err, &failure) || !failure.Invalid || !strings.Contains(failure.Cause, want) || strings.Contains(failure.Cause, "\n") {
				t.Errorf("%s to %s: %v", what, version, err)
			}
		}
	}
	if err := os.RemoveAll(filepath.Join(r.images, manifest.Name)); err != nil {
		t.Fatal(err)
	}
	var failure *daemonapi.Failure
	if err := r.upgrade(t, "1.36"); !errors.As(err, &failure) || !failure.Invalid || !strings.Contains(failure.Cause, "no node image") {
		t.Errorf("no image: %v", err)
	}
	r.setReady("worker-1", false)
	if err := r.upgrade(t, "1.35"); !errors.As(err, &failure) || !strings.Contains(failure.Cause, "wait worker-1 (not Ready)") || !strings.Contains(failure.Hint, "skiff up demo") {
		t.Errorf("a node that is not Ready: %v", err)
	}
	if after := files(t, r.home.Cluster("demo")); !maps.Equal(after, before) {
		t.Errorf("files changed")
	}
}

func TestAFailedNodeGetsItsPreviousImageAgain(t *testing.T) {
	for name, test := range map[string]struct {
		broken   string // the node that the image does not work on
		releases string
		cause    string
		over     bool
	}{
		"the first node":    {"control-plane-1", "v1.35.8 v1.35.8 v1.35.8", "the cluster is as before the upgrade", true},
		"one of the others": {"worker-2", "v1.36.3 v1.36.3 v1.35.8", "the upgrade stopped there", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := upgradeRig(t, 1, 2)
			fail := r.driver.Fail
			r.driver.Fail = func(call, name string) error {
				if call == "start" {
					r.mu.Lock()
					if delete(r.broken, digestOf("6")); name == test.broken {
						r.broken[digestOf("6")] = "kernel panic"
					}
					r.mu.Unlock()
				}
				return fail(call, name)
			}
			err := r.upgrade(t, "1.36")
			var failure *daemonapi.Failure
			if !errors.As(err, &failure) || failure.Invalid || !strings.Contains(failure.Cause, test.broken+" did not come back healthy") ||
				// Why a machine has ended is known a moment later than that it has.
				!strings.Contains(failure.Cause, "kernel panic") && !strings.Contains(failure.Cause, "its machine is stopped") || !strings.Contains(failure.Cause, test.cause) || failure.Hint == "" {
				t.Errorf("%+v", err)
			}
			if r.releases() != test.releases {
				t.Errorf("the nodes run %s", r.releases())
			}
			status, err := r.client.Status(t.Context())
			if err != nil || status.Phase != "running" || (status.Upgrade == nil) != test.over || slices.ContainsFunc(status.Nodes, func(n daemonapi.NodeStatus) bool { return n.Cordoned }) {
				t.Errorf("%+v, %v", status, err)
			}
			spec, err := r.client.Spec()
			if err != nil {
				t.Fatal(err)
			}
			if plan, err := r.client.Plan(t.Context(), spec); err != nil || len(plan) > 0 {
				t.Errorf("up would go on by itself: %v, %v", plan, err)
			}
			if !test.over {
				if err := r.upgrade(t, "1.37"); err == nil || !strings.Contains(err.Error(), "is not finished") {
					t.Errorf("the next upgrade: %v", err)
				}
			}
			t.Log("with an image that works")
			r.driver.Fail = fail
			putImage(t, r.images, "v1.36.4", "8")
			if err := r.upgrade(t, "1.36"); err != nil {
				t.Fatal(err)
			}
			r.whole(t, "v1.36.4", "8")
		})
	}
}

func TestABudgetBlocksAnUpgradeUntilItAllowsTheEviction(t *testing.T) {
	r := upgradeRig(t, 1, 2)
	controller := true
	r.mu.Lock()
	r.blocked = []corev1.Pod{{
		ObjectMeta: metav1.ObjectMeta{Name: "db-0", Namespace: "default", OwnerReferences: []metav1.OwnerReference{{Kind: "StatefulSet", Name: "db", Controller: &controller}}},
		Spec:       corev1.PodSpec{NodeName: "worker-2"},
	}}
	r.mu.Unlock()
	const blocks = "pod default/db-0 is protected by the disruption budget default/db"
	plan, err := r.client.PlanUpgrade(t.Context(), "1.36")
	if err != nil || !slices.ContainsFunc(plan.Notes, func(note string) bool {
		return strings.Contains(note, "The drain of worker-2 would have to wait now: "+blocks)
	}) {
		t.Errorf("notes %q, %v", plan.Notes, err)
	}
	var failure *daemonapi.Failure
	if err := r.upgrade(t, "1.36"); !errors.As(err, &failure) || !strings.Contains(failure.Cause, blocks) {
		t.Errorf("%+v", err)
	}
	if r.releases() != "v1.36.3 v1.36.3 v1.35.8" {
		t.Errorf("the nodes run %s", r.releases())
	}
	if status, err := r.client.Status(t.Context()); err != nil || status.Upgrade == nil || len(status.Problems) == 0 || !strings.Contains(status.Problems[len(status.Problems)-1], "was interrupted: run \"skiff upgrade demo\"") {
		t.Errorf("%+v, %v", status.Problems, err)
	}
	r.mu.Lock()
	r.blocked = nil
	r.mu.Unlock()
	if err := r.upgrade(t, ""); err != nil {
		t.Fatal(err)
	}
	r.whole(t, "v1.36.3", "6")
}

// TestAnUpgradeContinuesAfterTheDaemonWasKilledAtAnyMoment copies the cluster's files at each
// event and each call of the driver, and starts the cluster from each of the copies.
func TestAnUpgradeContinuesAfterTheDaemonWasKilledAtAnyMoment(t *testing.T) {
	r := upgradeRig(t, 3, 1)
	copies := string(shortHome(t)) // where homes are, because each is renamed into one
	var mu sync.Mutex
	count, last := 0, ""
	keep := func() {
		mu.Lock()
		defer mu.Unlock()
		dir := filepath.Join(copies, strconv.Itoa(count))
		now, err := copyCluster(r.home.Cluster("demo"), dir)
		if err != nil {
			t.Error(err)
		}
		if now != last { // a start from the same files ends the same way
			last = now
			count++
		}
	}
	fail := r.driver.Fail
	r.driver.Fail = func(call, name string) error {
		keep()
		return fail(call, name)
	}
	r.mu.Lock()
	r.moment = keep
	r.mu.Unlock()
	if err := r.client.Upgrade(t.Context(), "1.36", daemonapi.Draining{}, func(daemonapi.Event) { keep() }); err != nil {
		t.Fatal(err)
	}
	r.driver.Fail = fail
	r.mu.Lock()
	r.moment = nil
	r.mu.Unlock()
	// Drained and upgraded, each of four nodes: between these there are requests, before which
	// the files are copied. How many of the other moments the events catch depends on luck.
	if count < 8 {
		t.Fatalf("only %d moments", count)
	}
	for at := range count {
		t.Run(strconv.Itoa(at), func(t *testing.T) {
			t.Parallel()
			h := shortHome(t)
			revive(t, r, filepath.Join(copies, strconv.Itoa(at)), h)
		})
	}
}

// copyCluster copies the files of a cluster, as they are at one moment. It returns what a
// daemon that starts with them depends on.
func copyCluster(dir home.Cluster, to string) (moment string, err error) {
	for {
		before, err := os.ReadFile(dir.State())
		if err != nil {
			return "", err
		}
		names := ""
		if err := errors.Join(os.RemoveAll(to), filepath.WalkDir(string(dir), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return gone(err)
			}
			name, _ := filepath.Rel(string(dir), path)
			content, err := os.ReadFile(path)
			if err != nil {
				return gone(err)
			}
			names += name + "\n"
			return errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(to, name)), 0o700), os.WriteFile(filepath.Join(to, name), content, 0o600))
		})); err != nil {
			return "", err
		}
		after, err := os.ReadFile(dir.State())
		if err != nil || bytes.Equal(before, after) {
			return string(before) + names, err
		}
	}
}

// gone returns err unless it is that of a file that was removed meanwhile.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// revive starts a cluster of stopped machines from a copy of its files.
func revive(t *testing.T, r *rig, files string, h home.Home) {
	t.Helper()
	if err := os.MkdirAll(h.Clusters(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(files, string(h.Cluster("demo"))); err != nil {
		t.Fatal(err)
	}
	w := newEnvironment()
	w.snapshot = r.snapshot
	state, err := cluster.ReadState(h.Cluster("demo").State())
	if err != nil {
		t.Fatal(err)
	}
	state.Spec.APIPort = 0 // another cluster has its port
	if err := cluster.WriteState(h.Cluster("demo").State(), state); err != nil {
		t.Fatal(err)
	}
	for _, name := range state.Names() {
		if err := w.driver.Create(t.Context(), machine.Machine{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	again := startRig(t, w, h, state.Spec, r.images)
	again.keepMachines(t)
	again.spec = state.Spec
	if state.Upgrade == nil { // before it began, or after its end
		up(t, again.client, state.Spec)
		release, digit := "v1.35.8", "5"
		if state.Spec.KubernetesVersion == "1.36" {
			release, digit = "v1.36.3", "6"
		}
		again.whole(t, release, digit)
		return
	}
	if err := again.client.ApplyDraining(t.Context(), state.Spec, daemonapi.Draining{}, ignore); err != nil {
		t.Fatal(err)
	}
	again.whole(t, "v1.36.3", "6")
}
