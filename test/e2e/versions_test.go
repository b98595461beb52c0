package e2e

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/internal/kubenames"
)

// TestVersions runs the workloads on a cluster of each version of Kubernetes in
// SKIFF_E2E_VERSIONS, which have commas between them. A cluster of the default version runs
// beside it. kubectl has the default version.
func TestVersions(t *testing.T) {
	list := os.Getenv("SKIFF_E2E_VERSIONS")
	if list == "" {
		t.Skip("each version takes as long to build as the default one: run `make e2e-versions KUBERNETES=1.35`")
	}
	r := newRig(t)
	versions := strings.Split(list, ",")
	const beside = "beside"
	t.Cleanup(func() { r.discard(t, beside) })
	r.skiff(t, "up", beside, "--workers", "0", "--memory", "1536Mi")
	standard := &kube{rig: r, context: "skiff-" + beside}
	for _, version := range versions {
		t.Run(version, func(t *testing.T) { testVersion(t, r, version, standard) })
	}
	r.skiff(t, "down", beside)
	t.Run("Upgrade", func(t *testing.T) { testUpgradeOfVersions(t, r, versions) })
	t.Run("Run", func(t *testing.T) { testRunOfVersions(t, r, versions) })
}

func testVersion(t *testing.T, r *rig, version string, standard *kube) {
	name := "v" + strings.ReplaceAll(version, ".", "-")
	t.Cleanup(func() { r.discard(t, name) })
	release := r.releaseOf(t, version)
	contains(t, "up", r.skiff(t, "up", name, "--kubernetes", version), "Kubernetes "+release)
	r.load(t, name)
	k := &kube{rig: r, context: "skiff-" + name}
	k.discover(t)

	equal(t, "version of the API server", k.release(t), release)
	equal(t, "version of the cluster beside it", standard.release(t), r.releaseOf(t, kubenames.Default))
	for _, kubelet := range strings.Fields(k.kubectl(t, "get", "nodes", "-o", "jsonpath={.items[*].status.nodeInfo.kubeletVersion}")) {
		equal(t, "version of a kubelet", kubelet, release)
	}
	runWorkloads(t, k)
	r.subtest(t, "Metrics", func(t *testing.T) { testMetrics(t, k.in(t)) })
	r.subtest(t, "Services", func(t *testing.T) { testServices(t, r, name, k.in(t)) })

	// The cluster keeps its version, also over a restart.
	if a := r.trySkiff(t, "up", name, "--kubernetes", "1.12"); a.code != 2 || !strings.Contains(a.stderr, "kubernetes.version cannot change from "+version+" to 1.12") {
		t.Errorf("another version: exit code %d, %s", a.code, a.stderr)
	}
	r.skiff(t, "stop", name)
	contains(t, "up again", r.skiff(t, "up", name), "Kubernetes "+release)
	r.skiff(t, "down", name)
}

// testRunOfVersions runs a command once with each version, the default one included.
func testRunOfVersions(t *testing.T, r *rig, versions []string) {
	if !slices.Contains(versions, kubenames.Default) {
		versions = append(slices.Clone(versions), kubenames.Default)
	}
	a := r.trySkiff(t, "run", "matrix", "--kubernetes", strings.Join(versions, ","), "--workers", "0", "--memory", "1536Mi",
		"--logs", "none", "--", "kubectl", "version")
	equal(t, "exit code", a.code, 0)
	rest := a.stdout
	for _, version := range versions {
		_, after, found := strings.Cut(rest, "Server Version: "+r.releaseOf(t, version))
		if !found {
			t.Errorf("no server of %s in order:\n%s", version, a.stdout)
		}
		rest = after
		if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(version) + ` +passed`).MatchString(a.stderr) {
			t.Errorf("%s is not in the summary:\n%s", version, a.stderr)
		}
	}
	if warns := strings.Contains(a.stdout+a.stderr, "exceeds the supported minor version skew"); warns && missing(versions) == "" {
		t.Errorf("kubectl warns:\n%s%s", a.stdout, a.stderr)
	}
}

// missing returns a version between the oldest and the newest of some that is not one of them;
// empty if there is none.
func missing(versions []string) string {
	for _, version := range kubenames.Versions() {
		if slices.Min(versions) < version && version < slices.Max(versions) && !slices.Contains(versions, version) {
			return version
		}
	}
	return ""
}

// releaseOf returns the release that the node image of a version has.
func (r *rig) releaseOf(t *testing.T, version string) string {
	t.Helper()
	var all []struct {
		Version string
		Image   *struct{ Kubernetes, Problem string }
	}
	if err := json.Unmarshal([]byte(r.skiff(t, "version", "--available", "-o", "json")), &all); err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if a.Version == version && a.Image != nil && a.Image.Problem == "" {
			return a.Image.Kubernetes
		}
	}
	t.Fatalf("no node image for Kubernetes %s: %+v", version, all)
	return ""
}
