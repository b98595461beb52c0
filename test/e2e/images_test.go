package e2e

import (
	"path/filepath"
	"strings"
	"testing"
)

// load loads the workload image into all nodes of the shared cluster.
func (r *rig) load(t *testing.T, name string) {
	t.Helper()
	a := r.trySkiff(t, "image", "load", "--cluster", name, r.image("workload.tar"))
	t.Logf("image load: exit code %d in %.1f s\n%s%s", a.code, a.took.Seconds(), a.stdout, a.stderr)
	if a.code != 0 {
		t.FailNow()
	}
	r.add(t, "image load", a.took, "passed")
	contains(t, "image list", r.skiff(t, "image", "list", "--cluster", name), "skiff.test/workload")
}

// testBadArchives checks that a broken archive is rejected with a single line, and
// changes no node.
func testBadArchives(t *testing.T, r *rig, name string) {
	before := r.skiff(t, "image", "list", "--cluster", name, "-o", "json")
	files, err := filepath.Glob(r.image("bad/*.tar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%q, %v", files, err)
	}
	for _, file := range append(files, r.image("bad/absent.tar")) {
		a := r.trySkiff(t, "image", "load", "--cluster", name, file)
		message := strings.TrimSpace(a.stderr)
		t.Logf("%s: exit code %d: %s", filepath.Base(file), a.code, message)
		equal(t, filepath.Base(file)+": exit code", a.code, 2)
		equal(t, filepath.Base(file)+": lines on standard error", strings.Count(message, "\n")+1, 1)
		contains(t, "message", message, filepath.Base(file))
	}
	equal(t, "images afterwards", r.skiff(t, "image", "list", "--cluster", name, "-o", "json"), before)
}

// testInsideNodes runs nerdctl and shell commands on nodes.
func testInsideNodes(t *testing.T, r *rig, name string) {
	contains(t, "nerdctl images", r.skiff(t, "nerdctl", "--cluster", name, "worker-1", "--", "images"), "skiff.test/workload")
	equal(t, "hostname", strings.TrimSpace(r.skiff(t, "shell", "--cluster", name, "worker-2", "--", "uname", "-n")), "worker-2")
	a := r.trySkiff(t, "shell", "--cluster", name, "worker-2", "--", "sh", "-c", "exit 5")
	equal(t, "exit code of a command on a node", a.code, 5)
	contains(t, "logs of a node", r.skiff(t, "logs", "--cluster", name, "worker-1"), "worker-1 ")
}
