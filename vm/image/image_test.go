package image

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const digest = "sha256:e3c54e84bfcdf2cb2440e43435e11290ac475059525539a97716a60191d6781f"

func TestImageIsReadWithItsFiles(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"kernel": "k", "initramfs": "i", "root.erofs": "r",
		File: `{"digest":"` + digest + `","arch":"amd64","cmdline":"console=ttyS0","programs":[{"path":"/usr/bin/runc"}]}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	image, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if image.Root != filepath.Join(dir, "root.erofs") || image.Digest != digest || image.Cmdline != "console=ttyS0" {
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

func TestManifestsThatAreWrongAreRefused(t *testing.T) {
	for _, content := range []string{
		``, `[]`, `{}`,
		`{"digest":"sha256:1234","arch":"amd64"}`,
		`{"digest":"` + digest + `","arch":"sparc"}`,
		`{"digest":"` + digest + `","arch":"amd64","kernel":"../../etc/passwd"}`,
		`{"digest":"` + digest + `","arch":"amd64","root":"/etc/passwd"}`,
		`{"digest":"` + digest + `","arch":"amd64","cmdline":"a\nb"}`,
	} {
		if image, err := Parse([]byte(content), "/image"); err == nil {
			t.Errorf("%s is read as %+v", content, image)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"digest":"` + digest + `","arch":"amd64","cmdline":"quiet"}`))
	f.Add([]byte(`{"root":"..\\x"}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		image, err := Parse(content, "/image")
		if err != nil {
			return
		}
		for _, path := range []string{image.Kernel, image.Initramfs, image.Root} {
			if !strings.HasPrefix(path, "/image") {
				t.Errorf("%s leaves the image's directory", path)
			}
		}
	})
}
