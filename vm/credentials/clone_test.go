package credentials

import (
	"bytes"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/controlplane/pki"
	"github.com/skiff-dev/skiff/internal/atomicfile"
	"github.com/skiff-dev/skiff/vm/cluster"
)

func TestACloneOfARunningClusterReplacesAllItsCredentials(t *testing.T) {
	dir, now := filepath.Join(t.TempDir(), "pki"), time.Now()
	other, err := Open(dir, now)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := other.Keyring()
	if err != nil {
		t.Fatal(err)
	}
	files, err := other.CloneRunning(ring, now)
	if err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(t.TempDir(), "pki")
	if err := atomicfile.WriteTree(own, files); err != nil {
		t.Fatal(err)
	}
	store, err := OpenStore(own, now)
	if err != nil {
		t.Fatal(err)
	}
	begun := store.Current()
	progress, err := begun.Rotation()
	if err != nil || progress == nil || !progress.Revoke || !slices.Equal(progress.Names(), pki.RotationNames()) {
		t.Fatalf("the rotation: %+v, %v", progress, err)
	}
	if begun.Stale(now) || !bytes.Equal(begun.files["ca.key"], other.files["ca.key"]) || bytes.Equal(begun.files["admin.key"], other.files["admin.key"]) {
		t.Error("it does not begin with the other cluster's authorities and its own certificates")
	}
	before, ok := begun.Before()
	for _, name := range []string{"ca", "host-ca", pki.ServiceAccounts} {
		theirs, err := other.Sum(name)
		mine, failed := before.Sum(name)
		if !ok || err != nil || failed != nil || theirs != mine {
			t.Errorf("%s before the rotation: %t, %v, %v", name, ok, err, failed)
		}
	}
	if _, err := begun.CloneRunning(ring, now); !errors.Is(err, ErrRotating) {
		t.Errorf("a clone of it: %v", err)
	}

	ahead, err := begun.Ahead(now)
	if err != nil {
		t.Fatal(err)
	}
	content, err := ahead.Kubeconfig(cluster.Spec{Name: "copy", APIPort: 6443})
	if err != nil || !pki.IssuedBy(ahead.files["admin.crt"], progress.Replacements["ca"].New) || !strings.Contains(string(content), "skiff-copy") {
		t.Errorf("the kubeconfig is not signed by the new authority, %v", err)
	}
	for _, phase := range []pki.RotationPhase{pki.PhaseIssue, pki.PhaseDistrust, pki.PhaseForget} {
		next := progress.Advance(phase)
		if err := store.SetRotation(&next, now); err != nil {
			t.Fatal(err)
		}
		if _, ok := store.Current().Before(); ok {
			t.Errorf("%s: memory from before could be used", phase)
		}
	}
	if err := store.SetRotation(nil, now); err != nil {
		t.Fatal(err)
	}
	theirs := slices.Collect(maps.Values(other.files))
	for path, content := range store.Current().files {
		if path != pki.KeyringFile && slices.ContainsFunc(theirs, func(f []byte) bool { return bytes.Equal(f, content) }) {
			t.Errorf("%s is still that of the other cluster", path)
		}
	}
}
