package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/images/manifest"
	"github.com/skiff-dev/skiff/internal/authtest"
	"github.com/skiff-dev/skiff/internal/kubenames"
	"github.com/skiff-dev/skiff/vm/cluster"
)

// testUpgrade gives the nodes of a cluster another image of the same version while a client
// uses a service, and then one that no node starts with.
func testUpgrade(t *testing.T, r *rig) {
	const name = "upgrade"
	t.Cleanup(func() { r.discard(t, name) })
	r.skiff(t, "up", name, "--workers", "2", "--memory", "1Gi")
	r.load(t, name)
	k := &kube{rig: r, context: "skiff-" + name, namespace: "default"}
	k.apply(t, "upgrade.yaml")
	k.rollout(t, "deployment/guarded")
	k.kubectl(t, "create", "configmap", "kept", "--from-literal=a=b")
	equal(t, "plan with the same image", r.skiff(t, "upgrade", name, "--plan"), fmt.Sprintf("cluster %q is up to date: Kubernetes %s, node image %s\n", name, k.release(t), r.status(t, name).Nodes[0].Image))

	for version, want := range map[string]string{
		"1.36": "cannot go back from Kubernetes", "1.38": "unknown version of Kubernetes \"1.38\": choose one of", "1.37.2": "use a minor version", "": "use a minor version",
	} {
		for _, flag := range []string{"--plan", "--drain-timeout=1m"} {
			a := r.trySkiff(t, "upgrade", name, "--kubernetes", version, flag)
			equal(t, "exit code of an upgrade to "+version, a.code, 2)
			contains(t, "an upgrade to "+version, a.stderr, want)
			equal(t, "lines", strings.Count(a.stderr, "\n"), 1)
		}
	}

	changed := r.changedImage(t, func(root []byte) []byte { return append(root, make([]byte, 4096)...) })
	contains(t, "status", r.withImage(t, changed, "status", name).must(t), "older node image "+k.release(t))
	plan := r.withImage(t, changed, "upgrade", name, "--dry-run").must(t)
	contains(t, "plan", plan, "snapshot (before node image ", "restart control-plane-1", "drain worker-1", "restart worker-2", "uncordon worker-2",
		"note: The Kubernetes API does not answer while control-plane-1, the only control plane, restarts")
	client := watch(t, r.awaitHost(t, name, "default", "guarded", 28090))
	boots := k.boots(t)
	a := r.withImage(t, changed, "upgrade", name)
	contains(t, "upgrade", a.must(t), fmt.Sprintf("cluster %q is upgraded: 3 nodes", name))
	client.end(t, a.took)
	if again := k.boots(t); slices.ContainsFunc(again, func(id string) bool { return slices.Contains(boots, id) }) {
		t.Errorf("the nodes have the boot IDs %v, before %v", again, boots)
	}
	equal(t, "data", k.get(t, "configmap/kept", ".data.a"), "b")
	for _, n := range r.status(t, name).Nodes {
		equal(t, "image of "+n.Name, n.Image, changed.digest)
	}
	equal(t, "plan afterwards", r.skiff(t, "up", name, "--dry-run"), fmt.Sprintf("cluster %q is up to date: nothing to do\n", name))

	broken := r.changedImage(t, func(root []byte) []byte {
		clear(root[:8192]) // the superblock
		return root
	})
	a = r.withImage(t, broken, "upgrade", name)
	equal(t, "exit code with an image that no node starts with", a.code, 1)
	contains(t, "the failure", a.stderr, "control-plane-1 did not come back healthy", "the cluster is as before the upgrade", "phase: restart, control-plane-1")
	status := r.status(t, name)
	equal(t, "phase", status.Phase, "running")
	equal(t, "an upgrade is left", status.Upgrade == nil, true)
	equal(t, "image", status.Nodes[0].Image, changed.digest)
	equal(t, "plan after that", r.skiff(t, "up", name, "--dry-run"), fmt.Sprintf("cluster %q is up to date: nothing to do\n", name))
	equal(t, "data", k.get(t, "configmap/kept", ".data.a"), "b")

	another := r.changedImage(t, func(root []byte) []byte { return append(root, make([]byte, 8192)...) })
	r.killUpgrade(t, name, another)
	for _, n := range r.status(t, name).Nodes {
		equal(t, "image of "+n.Name, n.Image, another.digest)
	}
	equal(t, "data", k.get(t, "configmap/kept", ".data.a"), "b")

	// The snapshot is one that a restore accepts.
	r.restores(t, name, filepath.Join(r.home, "clusters", name, "before-upgrade.db"))
	r.skiff(t, "down", name)
	r.assertNoTraces(t, name)
}

// boots returns the boot IDs of the nodes. Those of sandboxes are their own.
func (k *kube) boots(t *testing.T) []string {
	t.Helper()
	return strings.Fields(k.kubectl(t, "get", "nodes", "-o", "jsonpath={.items[*].status.nodeInfo.bootID}"))
}

// killUpgrade kills the daemon once the control plane has another image, and runs the
// upgrade again.
func (r *rig) killUpgrade(t *testing.T, name string, image nodeImage) {
	t.Helper()
	upgrade := r.start(t, "env", "SKIFF_IMAGE_DIR="+image.dir, filepath.Join(r.root, "bin/skiff"), "upgrade", name)
	eventually(t, waitLimit, "the control plane is upgraded", func() error {
		status := r.status(t, name)
		if n := status.Nodes[0]; n.Image != image.digest || n.Ready != "True" || status.Nodes[1].Image == image.digest {
			return fmt.Errorf("%s has the image %s and is %s", n.Name, n.Image, n.Condition())
		}
		return nil
	})
	kill(t, r.status(t, name).DaemonPID)
	if err := upgrade.Wait(); err == nil {
		t.Errorf("the upgrade succeeded although its daemon was killed:\n%s", upgrade.output.String())
	}
	a := r.withImage(t, image, "upgrade", name)
	contains(t, "the upgrade again", a.must(t), fmt.Sprintf("cluster %q is upgraded: 3 nodes", name))
}

// nodeImage is a directory with a node image.
type nodeImage struct{ dir, digest string }

// withImage runs skiff with another node image.
func (r *rig) withImage(t *testing.T, image nodeImage, args ...string) commandResult {
	t.Helper()
	return r.run(t, "env", append([]string{"SKIFF_IMAGE_DIR=" + image.dir, filepath.Join(r.root, "bin/skiff")}, args...)...)
}

// changedImage returns a copy of the node image with another root file system.
func (r *rig) changedImage(t *testing.T, change func(root []byte) []byte) nodeImage {
	t.Helper()
	from, dir := filepath.Join(r.root, "bin/image"), t.TempDir()
	for _, name := range []string{manifest.Kernel, manifest.Initramfs, manifest.Builder} {
		if err := os.Symlink(filepath.Join(from, name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	m, err := manifest.Read(from)
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.ReadFile(filepath.Join(from, manifest.Root))
	if err != nil {
		t.Fatal(err)
	}
	root = change(root)
	sum := sha256.Sum256(root)
	m.Files[manifest.Root] = manifest.File{Bytes: int64(len(root)), SHA256: hex.EncodeToString(sum[:])}
	m.Digest = "sha256:" + m.Files[manifest.Root].SHA256
	content, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{manifest.Root: root, manifest.Name: content} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return nodeImage{dir, m.Digest}
}

// watched is a client that requests a page all the time.
type watched struct {
	stop     chan struct{}
	stopped  sync.WaitGroup
	requests int
	failures []string
}

// watch requests a page of a service on the host, each time over a new connection, until end
// is called.
func watch(t *testing.T, at []string) *watched {
	t.Helper()
	w := &watched{stop: make(chan struct{})}
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	w.stopped.Go(func() {
		for {
			select {
			case <-w.stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
			began := time.Now()
			w.requests++
			response, err := client.Get("http://" + at[w.requests%len(at)] + "/hostname")
			if err == nil {
				_, err = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
				if err == nil && response.StatusCode != http.StatusOK {
					err = fmt.Errorf("status %s", response.Status)
				}
			}
			if err != nil {
				w.failures = append(w.failures, fmt.Sprintf("%s: %v", began.Format(time.TimeOnly), err))
			}
		}
	})
	return w
}

// end fails the test if a request failed.
func (w *watched) end(t *testing.T, took time.Duration) {
	t.Helper()
	close(w.stop)
	w.stopped.Wait()
	t.Logf("the upgrade took %.1f s; of %d requests, %d failed", took.Seconds(), w.requests, len(w.failures))
	if w.requests < 50 || len(w.failures) > 0 {
		t.Errorf("failures: %s", strings.Join(w.failures, "\n"))
	}
}

// testUpgradeOfVersions moves a cluster from version to version, with data, a custom
// resource and a webhook, while a client uses a service.
func testUpgradeOfVersions(t *testing.T, r *rig, versions []string) {
	if !slices.Contains(versions, kubenames.Default) {
		versions = append(slices.Clone(versions), kubenames.Default)
	}
	slices.Sort(versions)
	if between := missing(versions); between != "" {
		t.Skipf("no minor version may be skipped: build the image of %s and run `scripts/test.sh versions %s %s`", between, versions[0], between)
	}
	const name, host = "upgraded", "host.skiff.internal"
	port, authority := authtest.Serve(t, host, http.HandlerFunc(admit))
	t.Cleanup(func() { r.discard(t, name) })
	dir := filesIn(t, map[string]string{
		"skiff.yaml": fmt.Sprintf("controlPlanes: 3\nworkers: 2\nmemory: 1Gi\nhostPorts: [%d]\nkubernetes: {version: %q}\n", port, versions[0]),
		"hook.yaml":  fmt.Sprintf(hook, host, port, base64.StdEncoding.EncodeToString(authority)),
	})
	r.skiff(t, "up", name, "-f", filepath.Join(dir, "skiff.yaml"))
	r.load(t, name)
	k := &kube{rig: r, context: "skiff-" + name, namespace: "default"}
	k.apply(t, "upgrade.yaml")
	k.apply(t, "crd.yaml")
	k.wait(t, "condition=Established", "crd/boats.harbour.skiff.test")
	k.kubectl(t, "apply", "-f", filepath.Join(dir, "hook.yaml"))
	k.rollout(t, "deployment/guarded")
	k.apply(t, "boat.yaml")
	k.kubectl(t, "create", "secret", "generic", "kept", "--from-literal=a=b")

	if len(versions) > 2 {
		a := r.trySkiff(t, "upgrade", name, "--kubernetes", versions[2])
		equal(t, "exit code of a jump", a.code, 2)
		contains(t, "a jump", a.stderr, "must not skip a minor version", versions[1], versions[2])
		contains(t, "up with another version", r.trySkiff(t, "up", name, "--kubernetes", versions[1]).stderr, fmt.Sprintf("run \"skiff upgrade %s --kubernetes %s\"", name, versions[1]))
	}
	writes := r.writer(t, k)
	for _, version := range versions[1:] {
		release := r.releaseOf(t, version)
		var plan cluster.UpgradePlan
		r.skiffJSON(t, &plan, "upgrade", name, "--kubernetes", version, "--plan")
		equal(t, "target", plan.To.Kubernetes, release)
		service := watch(t, r.awaitHost(t, name, "default", "guarded", 28090))
		var a commandResult
		writes.during(t, "upgrade to "+release, true, func() { a = r.trySkiff(t, "upgrade", name, "--kubernetes", version) })
		t.Log(a.must(t))
		service.end(t, a.took)
		equal(t, "version of the API server", k.release(t), release)
		for _, kubelet := range strings.Fields(k.kubectl(t, "get", "nodes", "-o", "jsonpath={.items[*].status.nodeInfo.kubeletVersion}")) {
			equal(t, "version of a kubelet", kubelet, release)
		}
		equal(t, "a secret", k.get(t, "secret/kept", ".data.a"), base64.StdEncoding.EncodeToString([]byte("b")))
		equal(t, "a custom resource", k.get(t, "boat/wherry", ".spec.harbour"), "home")
		contains(t, "what the webhook refuses", k.create(t, `{"apiVersion":"harbour.skiff.test/v1","kind":"Boat","metadata":{"name":"ghost"},"spec":{"oars":2}}`).stderr, "no ghosts here")
		k.kubectl(t, "create", "configmap", "after-"+strings.ReplaceAll(version, ".", "-"))
		back := r.trySkiff(t, "upgrade", name, "--kubernetes", versions[0])
		equal(t, "exit code of the way back", back.code, 2)
		contains(t, "the way back", back.stderr, "cannot go back from Kubernetes "+version)
	}
	writes.stop()
	writes.assertKept(t)
	k.rollout(t, "deployment/guarded")
	equal(t, "plan afterwards", r.skiff(t, "up", name, "--dry-run"), fmt.Sprintf("cluster %q is up to date: nothing to do\n", name))
	r.skiff(t, "stop", name)
	contains(t, "up again", r.skiff(t, "up", name), "Kubernetes "+r.releaseOf(t, versions[len(versions)-1]))
	equal(t, "a custom resource", k.get(t, "boat/wherry", ".spec.harbour"), "home")
	r.skiff(t, "down", name)
}

// hook validates boats by a webhook at a host and port with an authority.
const hook = `apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: boats}
webhooks:
- name: boats.harbour.skiff.test
  clientConfig: {url: "https://%s:%d/", caBundle: %s}
  rules: [{apiGroups: [harbour.skiff.test], apiVersions: [v1], operations: [CREATE], resources: [boats]}]
  admissionReviewVersions: [v1]
  sideEffects: None
  failurePolicy: Fail
`

// admit answers an AdmissionReview: it refuses ghosts.
func admit(w http.ResponseWriter, r *http.Request) {
	var review struct{ Request struct{ UID, Name string } }
	content, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err == nil {
		err = json.NewDecoder(bytes.NewReader(content)).Decode(&review)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
		"response": map[string]any{"uid": review.Request.UID, "allowed": review.Request.Name != "ghost", "status": map[string]string{"message": "no ghosts here"}},
	})
}
