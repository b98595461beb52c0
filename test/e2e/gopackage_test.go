package e2e

import (
	"os"
	"path/filepath"
	"testing"
)

// testGoPackage runs the tests of the Go package for users, and of its provider for
// e2e-framework, on clusters of their own.
func testGoPackage(t *testing.T, r *rig) {
	for _, name := range []string{"gopackage", "framework"} {
		t.Cleanup(func() { r.discard(t, name) })
	}
	image := "SKIFF_E2E_IMAGE=" + r.image("workload.tar")
	path := "PATH=" + filepath.Join(r.root, "bin") + ":" + os.Getenv("PATH")
	a := r.run(t, "env", path, image, "go", "test", "-C", filepath.Join(r.root, "skiff"), "-count=1", "-v", "-run", "^TestRealCluster$", "./...")
	t.Logf("the tests took %s\n%s", a.took, a.must(t, "go test ./skiff/..."))
	contains(t, "output", a.stdout, "--- PASS: TestRealCluster", "ok  \tgithub.com/skiff-dev/skiff/skiff/e2eframework")
	for _, name := range []string{"gopackage", "framework"} {
		r.assertNoTraces(t, name)
	}
}
