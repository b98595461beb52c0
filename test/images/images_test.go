package main

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestUnchangedArchiveKeepsItsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "archive")
	if err := writeIfChanged(path, []byte("one")); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := writeIfChanged(path, []byte("one")); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(before, after) {
		t.Error("the same content was written again")
	}
	if err := writeIfChanged(path, []byte("two")); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "two" {
		t.Errorf("%q, %v", data, err)
	}
}

func TestFindTakesOneEntryOutOfATar(t *testing.T) {
	var files bytes.Buffer
	w := tar.NewWriter(&files)
	for _, name := range []string{"./other", "./bin/busybox"} {
		if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Size: int64(len(name))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if data, err := find(files.Bytes(), "./bin/busybox"); err != nil || string(data) != "./bin/busybox" {
		t.Errorf("%q, %v", data, err)
	}
	if _, err := find(files.Bytes(), "./absent"); err == nil {
		t.Error("an absent entry was found")
	}
}

func TestVersionsOfTheWorkloadShareTheirLayers(t *testing.T) {
	out := t.TempDir()
	if err := os.Mkdir(filepath.Join(out, "bad"), 0o755); err != nil {
		t.Fatal(err)
	}
	layer := bytes.Repeat([]byte("x"), 1<<20)
	if err := writeAll(out, layer, layer); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(out, "workload.tar"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > 1<<20+64<<10 {
		t.Errorf("%d bytes for two versions over one layer of 1 MiB", info.Size())
	}
}
