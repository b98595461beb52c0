package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// share writes a file into the shared folder.
func (r *rig) share(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(r.shared, name), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// testHostFolder uses a folder of the host from pods on two nodes.
func testHostFolder(t *testing.T, r *rig, name string, k *kube) {
	r.share(t, "greeting", "from the host\n")
	k.apply(t, "folders.yaml")
	k.rollout(t, "daemonset/folder")
	pods := k.pods(t, "app=folder")
	if len(pods) < 2 {
		t.Fatalf("%d pods, want one on each worker", len(pods))
	}
	for _, pod := range pods {
		equal(t, pod.name+" reads", k.sh(t, pod.name, "cat /shared/greeting"), "from the host\n")
	}
	k.sh(t, pods[0].name, "echo from a pod >/shared/answer && mkdir -p /shared/a/b && ln -s ../answer /shared/a/link")
	content, err := os.ReadFile(filepath.Join(r.shared, "a", "link"))
	equal(t, "what the host reads", string(content), "from a pod\n")
	if err != nil {
		t.Error(err)
	}
	equal(t, "what the other node reads", k.sh(t, pods[1].name, "cat /shared/a/link"), "from a pod\n")
	r.share(t, "answer", "changed\n")
	equal(t, "what a pod reads after a change", k.sh(t, pods[0].name, "cat /shared/answer"), "changed\n")

	if r.sandboxed { // virtiofs raises no events in the guest (docs/guide/tasks.md)
		k.noticesChanges(t, pods[1].name)
	}

	k.sh(t, pods[0].name, "echo shared >/common/file")
	equal(t, "what the other node reads from the volume", k.sh(t, pods[1].name, "cat /common/file"), "shared\n")
	volume := k.get(t, "pvc/common", ".spec.volumeName")
	dir := filepath.Join(r.shared, k.namespace+"-common-"+volume)
	if _, err := os.Stat(filepath.Join(dir, "file")); err != nil {
		t.Errorf("the volume on the host: %v", err)
	}
	k.kubectl(t, "delete", "daemonset/folder", "pvc/common")
	k.wait(t, "delete", "pv/"+volume)
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the deleted volume's directory: %v", err)
	}

	refused := r.trySkiff(t, "up", name, "--mount", r.shared+":/elsewhere")
	equal(t, "exit code of up with another mount", refused.code, 2)
	contains(t, "up with another mount", refused.stderr, "mounts cannot change while the cluster runs", "skiff stop")
	missing := r.trySkiff(t, "up", "other", "--mount", r.shared+"/nowhere:/src")
	equal(t, "exit code of up with a missing folder", missing.code, 2)
	contains(t, "up with a missing folder", missing.stderr, "nowhere on the host: no such file or directory")
}

// noticesChanges changes the shared folder on the host while a pod watches it with
// inotify.
func (k *kube) noticesChanges(t *testing.T, pod string) {
	t.Helper()
	watcher := k.kubectlCommand(t, "exec", pod, "--", "workload", "notice", "/shared")
	out, err := watcher.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := watcher.Start(); err != nil {
		t.Fatal(err)
	}
	readUntil(t, out, "watching /shared\n")
	k.share(t, "noticed", "from the host\n")
	readUntil(t, out, `CREATE noticed\n(?s:.*)WRITE noticed\n`)
	k.share(t, "greeting", "changed on the host\n")
	readUntil(t, out, "WRITE greeting\n")
	if err := os.Remove(filepath.Join(k.shared, "noticed")); err != nil {
		t.Fatal(err)
	}
	readUntil(t, out, "REMOVE noticed\n")
	if err := watcher.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = watcher.Wait() // it was killed
}

// testReadOnlyFolder starts a cluster with a folder that only the host can change,
// and changes the folders of the stopped cluster.
func testReadOnlyFolder(t *testing.T, r *rig) {
	const name = "folders"
	r.share(t, "greeting", "from the host\n")
	t.Cleanup(func() { r.discard(t, name) })
	r.skiff(t, "up", name, "--workers", "0", "--mount", r.shared+":/fixed:ro")
	write := []string{"shell", "control-plane-1", "-c", name, "--", "sh", "-c", "cat /fixed/greeting; touch /fixed/new"}
	a := r.trySkiff(t, write...)
	contains(t, "a write to a read-only folder", a.stdout+a.stderr, "from the host", "Read-only file system")
	r.skiff(t, "stop", name)
	r.skiff(t, "up", name, "--mount", r.shared+":/fixed")
	if a = r.trySkiff(t, write...); a.code != 0 {
		t.Errorf("a write after the folder became writable: %s", strings.TrimSpace(a.stderr))
	}
	if _, err := os.Stat(filepath.Join(r.shared, "new")); err != nil {
		t.Error(err)
	}
}
