package image

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/images/manifest"
	"github.com/skiff-dev/skiff/images/manifest/manifesttest"
)

func TestImageIsReadWithItsFiles(t *testing.T) {
	dir := t.TempDir()
	m, err := manifesttest.Write(dir, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	image, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if image.Root != filepath.Join(dir, "root.erofs") || image.Digest != m.Digest || image.Kubernetes != m.Kubernetes {
		t.Errorf("image %+v", image)
	}
	if err := os.Truncate(filepath.Join(dir, "initramfs"), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(dir); err == nil || !strings.Contains(err.Error(), "incomplete") {
		t.Errorf("an empty initramfs: %v", err)
	}
	if _, err := Read(t.TempDir()); !errors.Is(err, ErrNotFound) {
		t.Errorf("no image: %v", err)
	}
}

func TestAnImageNeedsTheProgramsOfTheRuntimes(t *testing.T) {
	dir := t.TempDir()
	if _, err := manifesttest.Write(dir, "amd64"); err != nil {
		t.Fatal(err)
	}
	check := func(names ...string) error {
		t.Helper()
		image, err := Read(dir)
		if err != nil {
			t.Fatal(err)
		}
		return image.CheckRuntimes(names)
	}
	if err := check("crun", "gvisor"); err != nil {
		t.Errorf("a complete image: %v", err)
	}
	own, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := Keep(own, filepath.Join(t.TempDir(), "kept"))
	if err != nil || kept.CheckRuntimes([]string{"gvisor"}) != nil || kept.Programs["runsc"].Path == own.Programs["runsc"].Path {
		t.Errorf("a kept image has the programs %v, %v", kept.Programs, err)
	}
	if err := os.Remove(filepath.Join(dir, "runsc")); err != nil { // the kept image has the same file
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "runsc"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := check("gvisor"); !errors.Is(err, ErrNoRuntime) || !strings.Contains(err.Error(), "gvisor: runsc is missing") {
		t.Errorf("an image with half of runsc: %v", err)
	}
	if err := check("crun"); err != nil {
		t.Errorf("a runtime of the root: %v", err)
	}
}

func TestAnImageOfAnotherVersionIsRefused(t *testing.T) {
	for _, contract := range []string{"", "0123456789abcdef"} {
		dir := t.TempDir()
		m, err := manifesttest.Write(dir, "amd64")
		if err != nil {
			t.Fatal(err)
		}
		m.Contract = contract
		content, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, manifest.Name), content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(dir); !errors.Is(err, ErrOther) || !strings.Contains(err.Error(), dir) {
			t.Errorf("contract %q: %v", contract, err)
		}
	}
}

func TestAChangedImageIsNotBooted(t *testing.T) {
	dir, cache := t.TempDir(), filepath.Join(t.TempDir(), "cache")
	if _, err := manifesttest.Write(dir, "amd64"); err != nil {
		t.Fatal(err)
	}
	read := func() Image {
		t.Helper()
		image, err := Read(dir)
		if err != nil {
			t.Fatal(err)
		}
		return image
	}
	for range 2 {
		if err := read().Verify(cache); err != nil {
			t.Fatal(err)
		}
	}
	root := filepath.Join(dir, "root.erofs")
	content, err := os.ReadFile(root)
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)-1] ^= 1
	if err := os.WriteFile(root, content, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := read().Verify(cache); !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), root) {
			t.Errorf("a changed bit: %v", err)
		}
	}
	content[len(content)-1] ^= 1
	if err := os.WriteFile(root, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := read().Verify(cache); err != nil {
		t.Errorf("restored: %v", err)
	}
}

func TestAnImageThatWasVerifiedIsNotReadAgain(t *testing.T) {
	dir, cache := t.TempDir(), t.TempDir()
	if _, err := manifesttest.Write(dir, "amd64"); err != nil {
		t.Fatal(err)
	}
	image, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := image.Verify(cache); err != nil {
		t.Fatal(err)
	}
	// A file with the same inode, size and time is taken for the same content.
	root := filepath.Join(dir, "root.erofs")
	info, err := os.Stat(root)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(root, make([]byte, info.Size()), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(root, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if err := image.Verify(cache); err != nil {
		t.Error(err)
	}
	if err := image.Verify(t.TempDir()); !errors.Is(err, ErrChanged) {
		t.Errorf("without the cache: %v", err)
	}
}
