package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// otherArch is the architecture that this host emulates.
var otherArch = map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH]

// TestArchitectures adds an emulated node of another architecture to a cluster, runs pods on
// both kinds of nodes from an image for both, keeps their memory over a stop, and restarts and
// removes the node.
func TestArchitectures(t *testing.T) {
	if os.Getenv("SKIFF_E2E_ARCHITECTURES") == "" {
		t.Skip("a node of another architecture is emulated: run `make e2e-arm64`")
	}
	r := newRig(t)
	const name, far = "mixed", "far-1"
	dir := filesIn(t, map[string]string{
		"native.yaml": "controlPlanes: 1\nworkers: 0\nmemory: 2Gi\n",
		"mixed.yaml":  fmt.Sprintf("controlPlanes: 1\nworkers: 0\nmemory: 2Gi\nnodes:\n- {name: far, arch: %s, cpus: 2, memory: 1Gi}\n", otherArch),
		"swap.yaml":   fmt.Sprintf("controlPlanes: 1\nworkers: 0\nmemory: 2Gi\nnodes:\n- {name: far, arch: %s, cpus: 2, memory: 1Gi}\n", runtime.GOARCH),
	})
	file := func(name string) string { return filepath.Join(dir, name) }
	t.Cleanup(func() { r.discard(t, name) })
	a := r.trySkiff(t, "up", name, "--driver", "sandbox", "-f", file("mixed.yaml"))
	equal(t, "exit code on sandboxes", a.code, 2)
	contains(t, "up on sandboxes", a.stderr, "arch cannot be "+otherArch+" on this "+runtime.GOARCH+" host: sandboxes share this host's kernel")

	r.skiff(t, "up", name, "-f", file("native.yaml"))
	r.subtest(t, "Up", func(t *testing.T) {
		a := r.trySkiff(t, "up", name, "-f", file("mixed.yaml"), "--timing")
		t.Logf("up: exit code %d in %.1f s\n%s%s", a.code, a.took.Seconds(), a.stdout, a.stderr)
		if a.code != 0 {
			r.dump(t, name)
			t.FailNow()
		}
	})
	if t.Failed() {
		return
	}
	k := &kube{rig: r, context: "skiff-" + name, namespace: "default"}
	arch := func(node string) string { return k.get(t, "node/"+node, `.metadata.labels.kubernetes\.io/arch`) }
	equal(t, "architectures", arch("control-plane-1")+" "+arch(far), runtime.GOARCH+" "+otherArch)
	a = r.trySkiff(t, "up", name, "-f", file("swap.yaml"))
	equal(t, "exit code of another architecture", a.code, 2)
	contains(t, "another architecture", a.stderr, "group far: arch cannot change while it has nodes")

	r.subtest(t, "Load", func(t *testing.T) {
		a := r.trySkiff(t, "image", "load", "-c", name, r.image("architectures.tar"))
		t.Logf("image load: %.1f s\n%s%s", a.took.Seconds(), a.stdout, a.stderr)
		a.must(t)
		equal(t, "notes", a.stderr, "")
		a = r.trySkiff(t, "image", "load", "-c", name, r.image("workload.tar"))
		a.must(t)
		contains(t, "an image for one architecture", a.stderr, "note: not loaded onto "+far+": built for another platform: skiff.test/workload:1 is for linux/"+runtime.GOARCH)
		a = r.trySkiff(t, "image", "load", "-c", name, "--node", far, r.image("workload.tar"))
		equal(t, "exit code for a node that cannot run it", a.code, 2)
		contains(t, "for a node that cannot run it", a.stderr, "but the nodes run linux/"+otherArch)
	})
	r.subtest(t, "Run", func(t *testing.T) {
		for _, node := range []string{"control-plane-1", far} {
			pod := fmt.Sprintf(`{"spec":{"nodeName":%q,"tolerations":[{"operator":"Exists"}],"terminationGracePeriodSeconds":0}}`, node)
			k.kubectl(t, "run", "on-"+node, "--image=skiff.test/workload:both", "--restart=Always", "--overrides="+pod)
		}
		k.wait(t, "condition=Ready", "pod/on-control-plane-1", "pod/on-"+far)
		k.waitForAnswers(t, "on-control-plane-1", "http://"+k.get(t, "pod/on-"+far, ".status.podIP")+":8080/hostname", "on-"+far)
	})
	r.subtest(t, "Stop", func(t *testing.T) {
		r.hibernate(t, name)
		a := r.trySkiff(t, "up", name)
		t.Logf("up: exit code %d in %.1f s\n%s%s", a.code, a.took.Seconds(), a.stdout, a.stderr)
		a.must(t)
		if strings.Contains(a.stdout, "not used") {
			t.Error("memory was not used")
		}
		equal(t, "restarts", k.get(t, "pod/on-"+far, ".status.containerStatuses[0].restartCount"), "0")
		r.assertClock(t, name, far)
	})
	r.subtest(t, "Restart", func(t *testing.T) {
		a := r.trySkiff(t, "node", "restart", "-c", name, far)
		t.Logf("node restart: exit code %d in %.1f s\n%s%s", a.code, a.took.Seconds(), a.stdout, a.stderr)
		a.must(t)
		k.wait(t, "condition=Ready", "node/"+far, "pod/on-"+far)
	})
	r.subtest(t, "Remove", func(t *testing.T) {
		r.skiff(t, "up", name, "-f", file("native.yaml"))
		if nodes := r.status(t, name).Nodes; slices.ContainsFunc(nodes, func(n daemonapi.NodeStatus) bool { return n.Name == far }) {
			t.Errorf("%+v", nodes)
		}
	})
}
