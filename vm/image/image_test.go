package image

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
