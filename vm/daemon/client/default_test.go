package client_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/internal/snapshot/snapshottest"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

func TestAClusterKeepsItsVersionWhenAnotherOneBecomesTheDefault(t *testing.T) {
	w := newEnvironment()
	w.snapshot = snapshottest.Snapshot(t)
	images := t.TempDir()
	putImage(t, images, "v1.36.3", "6")
	spec := small("demo")
	r := startRig(t, w, shortHome(t), spec, images)
	up(t, r.client, spec)
	r.stopped(t)
	forgetVersion(t, r.home.Cluster("demo").State())

	putImage(t, images, "v1.37.2", "7")
	var failure *daemonapi.Failure
	err := r.client.Check(t.Context(), spec)
	if !errors.As(err, &failure) || !failure.Invalid || !strings.Contains(failure.Cause, "no node image for Kubernetes 1.36 in "+images) {
		t.Fatalf("without an image of its version: %v", err)
	}
	for _, part := range []string{`"make image KUBERNETES=1.36"`, `"install.sh --kubernetes 1.36"`, `"skiff upgrade demo --kubernetes 1.37"`} {
		if !strings.Contains(failure.Hint, part) || strings.Contains(failure.Hint, "\n") {
			t.Errorf("the hint lacks %s: %s", part, failure.Hint)
		}
	}

	putImage(t, filepath.Join(images, "1.36"), "v1.36.3", "6")
	if err := r.client.Check(t.Context(), spec); err != nil && strings.Contains(err.Error(), "node image") {
		t.Errorf("with an image of its version: %v", err)
	}
	again := startRig(t, w, r.home, spec, images)
	up(t, again.client, spec)
	again.whole(t, "v1.36.3", "6")
	if err := again.upgrade(t, "1.37"); err != nil {
		t.Fatal(err)
	}
	again.whole(t, "v1.37.2", "7")
}

// forgetVersion makes a state one of a program that knew a single version of Kubernetes.
func forgetVersion(t *testing.T, path string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var state map[string]any
	if err := json.Unmarshal(content, &state); err != nil {
		t.Fatal(err)
	}
	spec, _ := state["spec"].(map[string]any)
	if spec["kubernetesVersion"] != "1.36" {
		t.Fatalf("the state has the version %v", spec["kubernetesVersion"])
	}
	delete(spec, "kubernetesVersion")
	if content, err = json.Marshal(state); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
