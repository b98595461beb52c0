package kube

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func TestUnpackRejectsNamesOutsideTheDirectory(t *testing.T) {
	var content bytes.Buffer
	w := tar.NewWriter(&content)
	for _, h := range []tar.Header{
		{Name: "dir/fine", Typeflag: tar.TypeReg, Size: 2, Mode: 0o644}, {Name: "link", Typeflag: tar.TypeSymlink, Linkname: "/etc"},
		{Name: "../outside", Typeflag: tar.TypeReg, Size: 2, Mode: 0o644},
	} {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := io.WriteString(w, "ok"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	parent := t.TempDir()
	if _, err := unpack(&content, filepath.Join(parent, "to")); err == nil {
		t.Error("a name outside the directory was accepted")
	}
	if _, err := os.Stat(filepath.Join(parent, "outside")); err == nil {
		t.Error("a file was written outside the directory")
	}
	if got, err := os.ReadFile(filepath.Join(parent, "to/dir/fine")); err != nil || string(got) != "ok" {
		t.Errorf("%q, %v", got, err)
	}
}
