package replica

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestImmutableFilesAreLinkedAndOthersCopied(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "copy")
	if err := errors.Join(
		os.Mkdir(filepath.Join(from, "part"), 0o700), os.WriteFile(filepath.Join(from, "part", "values.bin"), []byte("values"), 0o600),
		os.WriteFile(filepath.Join(from, "parts.json"), []byte("parts"), 0o600), os.Symlink("parts.json", filepath.Join(from, "link")),
	); err != nil {
		t.Fatal(err)
	}
	if err := Copy(from, to, func(name string) bool { return strings.HasSuffix(name, ".bin") }); err != nil {
		t.Fatal(err)
	}
	for name, linked := range map[string]bool{"part/values.bin": true, "parts.json": false} {
		before, err1 := os.Stat(filepath.Join(from, name))
		after, err2 := os.Stat(filepath.Join(to, name))
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		if os.SameFile(before, after) != linked || after.Size() != before.Size() {
			t.Errorf("%s: linked %v with %d bytes, want %v with %d", name, !linked, after.Size(), linked, before.Size())
		}
	}
	if _, err := os.Lstat(filepath.Join(to, "link")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a symbolic link was copied: %v", err)
	}
}

func TestDirectoriesOfKilledProcessesAreRemoved(t *testing.T) {
	temporary, now := t.TempDir(), time.Now()
	for name, age := range map[string]time.Duration{"metrics-1": 2 * abandoned, "metrics-2": abandoned / 2, "other": 2 * abandoned} {
		dir := filepath.Join(temporary, name)
		if err := errors.Join(os.Mkdir(dir, 0o700), os.Chtimes(dir, now.Add(-age), now.Add(-age))); err != nil {
			t.Fatal(err)
		}
	}
	dir, err := Dir(temporary, "metrics-")
	if err != nil {
		t.Fatal(err)
	}
	for name, left := range map[string]bool{"metrics-1": false, "metrics-2": true, "other": true, filepath.Base(dir): true} {
		if _, err := os.Stat(filepath.Join(temporary, name)); (err == nil) != left {
			t.Errorf("%s: %v", name, err)
		}
	}
}
