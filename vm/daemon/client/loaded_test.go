package client_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// loadedImage is an image that was loaded onto all nodes.
const loadedImage = "docker.io/library/app:1"

// images runs a command of containerd's client for images. An archive is the names in it.
func (w *environment) images(node string, args []string, stdin string) (stdout string, code byte) {
	if args[0] == "import" {
		w.pass()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch command := strings.Join(args, " "); {
	case command == `list --quiet labels."skiff.dev/loaded"==all`:
		return strings.Join(w.stored[node], "\n"), 0
	case command == "list --quiet":
		return "", 0
	case strings.HasPrefix(command, "export --local --skip-manifest-json - "):
		return strings.Join(args[4:], "\n"), 0
	case command == "import --local --platform linux --label skiff.dev/loaded=all -" && node != w.fullNode:
		w.stored[node] = strings.Fields(stdin)
		return "", 0
	}
	return "no space left on device", 1
}

func (r *rig) has(t *testing.T, node string, want ...string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if got := r.stored[node]; !slices.Equal(got, want) {
		t.Errorf("%s has the images %q, want %q", node, got, want)
	}
}

func TestNewNodesGetTheImagesThatWereLoadedOntoAll(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	up(t, r.client, r.spec)
	const second = "docker.io/library/db:2"
	r.stored["control-plane-1"] = []string{loadedImage, second}
	r.stored["worker-1"] = []string{"docker.io/library/intruder:1"}
	r.spec.Workers += 2
	r.transition(t, r.spec, "join worker-3")
	r.has(t, "worker-1", "docker.io/library/intruder:1")
	r.has(t, "worker-2")
	r.has(t, "worker-3", loadedImage, second)
	r.has(t, "worker-4", loadedImage, second)

	if err := r.client.ReplaceNodes(t.Context(), daemonapi.NodesRequest{Names: []string{"worker-1"}}, ignore); err != nil {
		t.Fatal(err)
	}
	r.has(t, "worker-1", loadedImage, second)
}

func TestUpCopiesImagesThatCouldNotBeCopied(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	up(t, r.client, r.spec)
	r.stored["control-plane-1"], r.fullNode = []string{loadedImage}, "worker-3"
	r.spec.Workers = 3
	up(t, r.client, r.spec)
	r.has(t, "worker-3")
	status, err := r.client.Status(t.Context())
	want := []string{`Not all images that were loaded are on worker-3 yet: "skiff up" copies them.`}
	if err != nil || status.Phase != "running" || !slices.Equal(status.Notes, want) {
		t.Errorf("status %s with the notes %q, %v", status.Phase, status.Notes, err)
	}
	r.mu.Lock()
	r.fullNode = ""
	r.mu.Unlock()
	r.transition(t, r.spec, "join worker-3")
	r.has(t, "worker-3", loadedImage)
	if status, err := r.client.Status(t.Context()); err != nil || len(status.Notes) > 0 {
		t.Errorf("notes %q, %v", status.Notes, err)
	}
}
