package client_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/internal/snapshot/snapshottest"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// otherArch is an architecture that is not this host's.
var otherArch = map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH]

// nodeImages returns the digits of the images that nodes run, and marks those that are outdated.
func (r *rig) nodeImages(t *testing.T) string {
	t.Helper()
	status, err := r.client.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, n := range status.Nodes {
		text := n.Name + "=" + strings.TrimPrefix(n.Image, "sha256:")[:1]
		if n.Outdated {
			text += "!"
		}
		if n.Arch != "" {
			text += "@" + n.Arch
		}
		all = append(all, text)
	}
	return strings.Join(all, " ")
}

func TestNodesOfAnotherArchitectureHaveTheirOwnImage(t *testing.T) {
	spec := small("demo")
	spec.Workers = 0
	images := t.TempDir()
	putImage(t, images, "v1.36.3", "6")
	w := newEnvironment()
	w.snapshot = snapshottest.Snapshot(t)
	r := startRig(t, w, shortHome(t), spec, images)
	r.transition(t, spec)
	mixed := spec
	mixed.Nodes = []cluster.Group{{Name: "far", Count: 1, CPUs: 1, Memory: "600Mi", Arch: otherArch}}

	t.Log("without an image")
	var failure *daemonapi.Failure
	err := r.client.Apply(t.Context(), mixed, ignore)
	if !errors.As(err, &failure) || !failure.Invalid || !strings.Contains(failure.Hint, "make image ARCH="+otherArch) || !strings.Contains(failure.Hint, "install.sh --arch "+otherArch) {
		t.Fatalf("%+v, %v", failure, err)
	}
	if state, err := cluster.ReadState(r.home.Cluster("demo").State()); err != nil || len(state.Machines) != 1 || len(state.Spec.Nodes) > 0 {
		t.Errorf("the state has changed: %+v, %v", state, err)
	}
	far := filepath.Join(images, otherArch)
	putImageFor(t, far, otherArch, "v1.36.4", "b")
	if err := r.client.Apply(t.Context(), mixed, ignore); !errors.As(err, &failure) || !strings.Contains(failure.Cause, "nodes of a cluster need the same release") {
		t.Errorf("another release: %v", err)
	}

	t.Log("a new group in a running cluster")
	putImageFor(t, far, otherArch, "v1.36.3", "b")
	r.transition(t, mixed, "create far-1")
	if got, want := r.nodeImages(t), "control-plane-1=6 far-1=b@"+otherArch; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if r.documents["control-plane-1"].Emulated || !r.documents["far-1"].Emulated {
		t.Error("only the machine of another architecture is emulated")
	}

	t.Log("an upgrade of that image only")
	putImageFor(t, far, otherArch, "v1.36.3", "c")
	if got, want := r.nodeImages(t), "control-plane-1=6 far-1=b!@"+otherArch; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	boot := r.node("control-plane-1")
	if err := r.upgrade(t, ""); err != nil {
		t.Fatal(err)
	}
	if got, want := r.nodeImages(t), "control-plane-1=6 far-1=c@"+otherArch; got != want || r.node("control-plane-1") != boot {
		t.Errorf("%s, want %s; the control plane was %s and is %s", got, want, boot, r.node("control-plane-1"))
	}
	state, err := cluster.ReadState(r.home.Cluster("demo").State())
	if err != nil || state.Upgrade != nil || state.Image != digestOf("6") || state.ForeignImage != digestOf("c") {
		t.Errorf("%+v, %v", state, err)
	}

	t.Log("the images stay when others take their places")
	if err := os.RemoveAll(far); err != nil {
		t.Fatal(err)
	}
	r.driver.End("far-1", "signal: killed")
	r.transition(t, mixed, "start far-1")
	if got, want := r.nodeImages(t), "control-plane-1=6 far-1=c@"+otherArch; got != want {
		t.Errorf("%s, want %s", got, want)
	}

	t.Log("the group is removed")
	r.transition(t, spec, "delete far-1")
}

// node returns the ID of the boot of a node.
func (r *rig) node(name string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.nodes[name]
}
