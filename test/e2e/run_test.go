package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// testLogsExport checks the content of exported logs.
func testLogsExport(t *testing.T, r *rig, name string) {
	dir := filepath.Join(t.TempDir(), "logs")
	r.skiff(t, "logs", "export", dir, "--cluster", name)
	for file, part := range map[string]string{
		"versions.json":                          "kubernetes",
		"status.json":                            "worker-1",
		"daemon.log":                             "daemon serves",
		"nodes/control-plane-1/controlplane.log": "",
		"nodes/control-plane-1/console.log":      "skiff-init",
		"nodes/worker-1/kernel.log":              "",
		"nodes/worker-1/containerd.log":          "containerd",
		"nodes/worker-1/nodeagent.log":           "",
		"nodes/worker-1/init.log":                "network",
		"objects/nodes.json":                     "worker-2",
		"objects/events.json":                    "Event",
		"objects/configmaps.json":                "kube-root-ca.crt",
		"objects/customresourcedefinitions.apiextensions.k8s.io.json": "CustomResourceDefinition",
	} {
		content, err := os.ReadFile(filepath.Join(dir, file))
		if strings.HasPrefix(file, "objects/customresource") && os.IsNotExist(err) {
			continue // no test has created one yet
		}
		if err != nil {
			t.Error(err)
			continue
		}
		contains(t, file, string(content), part)
	}
	if info, err := os.Stat(dir + ".tar.gz"); err != nil || info.Size() == 0 {
		t.Errorf("archive: %v", err)
	}
	if failed, err := os.ReadFile(filepath.Join(dir, "errors.txt")); err == nil {
		t.Errorf("errors of the export:\n%s", failed)
	}
}

// testRun runs commands in temporary clusters.
func testRun(t *testing.T, r *rig) {
	if !r.sandboxed {
		t.Skip("a cluster for each command takes minutes with emulation; SKIFF_E2E_DRIVER=sandbox runs it")
	}
	const name = "short"
	t.Cleanup(func() { r.discard(t, name) })
	before, err := os.ReadFile(r.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	logs := filepath.Join(t.TempDir(), "logs")
	args := []string{"run", name, "--workers", "0", "--memory", "1536Mi", "--logs", logs, "--"}
	a := r.trySkiff(t, append(args, "kubectl", "get", "nodes", "-o", "name")...)
	t.Logf("run took %.1f s", a.took.Seconds())
	equal(t, "exit code", a.code, 0)
	equal(t, "output of the command", a.stdout, "node/control-plane-1\n")
	r.assertNoTraces(t, name)
	if _, err := os.Stat(logs); err == nil {
		t.Error("logs were exported though nothing failed")
	}
	a = r.trySkiff(t, append(args, "sh", "-c", "exit 7")...)
	equal(t, "exit code of a failing command", a.code, 7)
	contains(t, "message about records", a.stderr, "are kept as "+name+".")
	if err := r.metric(t, name, "max_over_time(skiff_machine_running[10m])", [2]float64{0, 1}); err != nil {
		t.Errorf("of the failed run: %v", err)
	}
	r.skiff(t, "prune", "--records")
	r.assertNoTraces(t, name)
	if _, err := os.Stat(filepath.Join(logs, "status.json")); err != nil {
		t.Errorf("no logs of the failure: %v\n%s", err, a.stderr)
	}
	r.killRun(t, name, args)
	if after, err := os.ReadFile(r.kubeconfig); err != nil || string(after) != string(before) {
		t.Errorf("the kubeconfig changed, %v", err)
	}
}

// killRun kills a run while its command runs, as the end of a CI job may.
func (r *rig) killRun(t *testing.T, name string, args []string) {
	t.Helper()
	began := filepath.Join(t.TempDir(), "began")
	run := r.background(t, append(args, "sh", "-c", "touch "+began+"; sleep 20")...)
	eventually(t, waitLimit, "the command runs", func() error {
		_, err := os.Stat(began)
		return err
	})
	kill(t, run.Process.Pid)
	_ = run.Wait()
	eventually(t, waitLimit, "the cluster of a killed run is removed", func() error {
		if left := r.traces(t, name); len(left) > 0 {
			return fmt.Errorf("%v", left)
		}
		return nil
	})
}
