package credentials

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/controlplane/pki"
)

// onDisk reports whether a file below dir has some content.
func onDisk(t *testing.T, dir string, content []byte) bool {
	t.Helper()
	found := false
	if err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		have, err := os.ReadFile(path)
		found = found || bytes.Contains(have, content)
		if info, failed := entry.Info(); failed != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", path, info, failed)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return found
}

func TestARotationReplacesTheFilesOfAuthorities(t *testing.T) {
	dir, now := filepath.Join(t.TempDir(), "pki"), time.Now()
	store, err := OpenStore(dir, now)
	if err != nil {
		t.Fatal(err)
	}
	old := store.Current()
	r, err := old.BeginRotation(pki.RotationNames(), now)
	if err != nil {
		t.Fatal(err)
	}
	config := store.ClientConfig(ClusterCA, Admin)
	for _, phase := range []pki.RotationPhase{pki.PhaseTrust, pki.PhaseIssue, pki.PhaseDistrust, pki.PhaseForget} {
		next := r.Advance(phase)
		if err := store.SetRotation(&next, now); err != nil {
			t.Fatal(err)
		}
		signs := phase != pki.PhaseTrust
		current := store.Current()
		if changed := !bytes.Equal(current.files["admin.crt"], old.files["admin.crt"]); changed != signs || current.Stale(now) {
			t.Errorf("%s: the host's certificate is another one: %t, stale: %t", phase, changed, current.Stale(now))
		}
		if kept := onDisk(t, dir, old.files["ca.key"]); kept == signs {
			t.Errorf("%s: the old key is on disk: %t", phase, kept)
		}
		if _, err := config(); err != nil {
			t.Errorf("%s: %v", phase, err)
		}
		again, err := Read(dir)
		if err != nil || !bytes.Equal(again.files["ca.key"], current.files["ca.key"]) || !bytes.Equal(again.files["admin.key"], current.files["admin.key"]) {
			t.Errorf("%s: other keys are read, %v", phase, err)
		}
	}
	if err := store.SetRotation(nil, now); err != nil {
		t.Fatal(err)
	}
	if progress, err := store.Current().Rotation(); err != nil || progress != nil {
		t.Errorf("a rotation is left: %v, %v", progress, err)
	}
	if _, err := os.Stat(filepath.Join(dir, pki.RotationFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is left: %v", err)
	}
	final, err := Open(dir, now)
	if err != nil || !bytes.Equal(final.files["ca.crt"], r.Replacements["ca"].New) || !bytes.Equal(final.files["sa.key"], r.Replacements["sa"].Key) {
		t.Errorf("not the new authorities, %v", err)
	}
}

// A crash may come after each file of a phase that was written.
func TestACrashLeavesTheOldOrTheNewPhase(t *testing.T) {
	now := time.Now()
	dir := filepath.Join(t.TempDir(), "pki")
	first, err := Open(dir, now)
	if err != nil {
		t.Fatal(err)
	}
	r, err := first.BeginRotation(pki.RotationNames(), now)
	if err != nil {
		t.Fatal(err)
	}
	content, err := r.Advance(pki.PhaseIssue).Encode()
	if err != nil {
		t.Fatal(err)
	}
	for written := range 4 {
		for i, file := range []struct {
			path    string
			content []byte
		}{
			{pki.RotationFile, content}, {"ca.crt", r.Replacements["ca"].New}, {"ca.key", r.Replacements["ca"].Key}, {"sa.key", r.Replacements["sa"].Key},
		} {
			if i != written {
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, file.path), file.content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		read, err := Read(dir)
		if err != nil || !bytes.Equal(read.files["ca.key"], r.Replacements["ca"].Key) || !bytes.Equal(read.files["host-ca.key"], r.Replacements["host-ca"].Key) {
			t.Errorf("after %d files: not the new phase, %v", written, err)
		}
	}
	store, err := OpenStore(dir, now)
	if err != nil || store.Current().Stale(now) || onDisk(t, dir, first.files["host-ca.key"]) {
		t.Errorf("opened again: the old keys are left, %v", err)
	}
}
