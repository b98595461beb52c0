package image

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/images/manifest"
	"github.com/skiff-dev/skiff/images/manifest/manifesttest"
)

// fresh writes an image and reads it.
func fresh(t *testing.T, dir string) Image {
	t.Helper()
	if _, err := manifesttest.Write(dir, "amd64"); err != nil {
		t.Fatal(err)
	}
	i, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func TestAKeptImageStaysWhenItsSourceIsReplaced(t *testing.T) {
	from, dir := t.TempDir(), filepath.Join(t.TempDir(), "images")
	i := fresh(t, from)
	kept, err := Keep(i, dir)
	if err != nil || kept.Digest != i.Digest || filepath.Dir(kept.Root) != filepath.Join(dir, strings.TrimPrefix(i.Digest, "sha256:")) {
		t.Fatalf("%+v, %v", kept, err)
	}
	one, err := os.Stat(i.Root)
	if err != nil {
		t.Fatal(err)
	}
	if two, err := os.Stat(kept.Root); err != nil || !os.SameFile(one, two) {
		t.Errorf("the root takes space twice: %v", err)
	}
	if err := os.RemoveAll(from); err != nil {
		t.Fatal(err)
	}
	if again, err := Keep(i, dir); err != nil || again.Root != kept.Root {
		t.Errorf("kept again: %+v, %v", again, err)
	}
	if err := kept.Verify(t.TempDir()); err != nil {
		t.Error(err)
	}
}

func TestWhatAnInterruptionLeftOfAKeptImageIsReplaced(t *testing.T) {
	dir := t.TempDir()
	i := fresh(t, t.TempDir())
	kept, err := Keep(i, dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(filepath.Dir(kept.Root), manifest.Name)); err != nil {
		t.Fatal(err)
	}
	if _, err := Kept(dir, i.Digest); !errors.Is(err, ErrNotFound) {
		t.Errorf("an image without a manifest: %v", err)
	}
	if _, err := Keep(i, dir); err != nil {
		t.Error(err)
	}
	if err := os.Remove(i.Root); err != nil {
		t.Fatal(err)
	}
	if err := Prune(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := Keep(i, dir); err == nil {
		t.Error("an image that is incomplete was kept")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestOnlyUnusedImagesAreRemoved(t *testing.T) {
	dir := t.TempDir()
	i := fresh(t, t.TempDir())
	if _, err := Keep(i, dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, unfinished+"1"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Prune(dir, "sha256:other", i.Digest); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left: %v, %v", left, err)
	}
	if err := errors.Join(Prune(dir), Prune(filepath.Join(dir, "none"))); err != nil {
		t.Fatal(err)
	}
	if _, err := Kept(dir, i.Digest); !errors.Is(err, ErrNotFound) {
		t.Errorf("still there: %v", err)
	}
}

func TestFilesAreCopiedWhereTheyCannotBeLinked(t *testing.T) {
	from, to := filepath.Join(t.TempDir(), "from"), filepath.Join(t.TempDir(), "to")
	if err := os.WriteFile(from, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := copyFile(from, to); err != nil {
		t.Fatal(err)
	}
	if content, err := os.ReadFile(to); err != nil || string(content) != "content" {
		t.Errorf("%q, %v", content, err)
	}
	if err := copyFile(from, to); err == nil {
		t.Error("a file was overwritten")
	}
}
