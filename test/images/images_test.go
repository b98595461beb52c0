package main

import (
	"archive/tar"
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
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

func TestPackagesComeWithAllThatTheyNeed(t *testing.T) {
	needs := map[string][]string{
		"server": {"lib", "debconf", "tool"}, "tool": {"lib", "server"}, "lib": {"base"}, "debconf": {"perl"},
	}
	got, err := closure([]string{"server"}, func(packages []string) (all []string, err error) {
		for _, p := range packages {
			all = append(all, needs[p]...)
		}
		return all, nil
	})
	if want := []string{"base", "lib", "server", "tool"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v", got, err)
	}
}

func TestFilesOfPackagesAreMergedIntoUsr(t *testing.T) {
	var files bytes.Buffer
	w := tar.NewWriter(&files)
	for _, header := range []tar.Header{
		{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "./lib/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "./lib/libx.so.1", Typeflag: tar.TypeSymlink, Linkname: "libx.so.1.0"},
		{Name: "./lib/libx.so.1.0", Typeflag: tar.TypeReg, Size: 1, Mode: 0o644},
		{Name: "./usr/bin/x", Typeflag: tar.TypeLink, Linkname: "./lib/libx.so.1.0", Mode: 0o755},
		{Name: "./usr/share/doc/x/copyright", Typeflag: tar.TypeReg, Size: 1},
	} {
		if err := w.WriteHeader(&header); err != nil {
			t.Fatal(err)
		}
		if header.Size > 0 {
			if _, err := w.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	root := tree{}
	if err := root.unpack(files.Bytes()); err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(root)); !slices.Equal(got, []string{"usr/bin/x", "usr/lib", "usr/lib/libx.so.1", "usr/lib/libx.so.1.0"}) {
		t.Errorf("%q", got)
	}
	if got := root["usr/bin/x"]; string(got.Data) != "x" || got.Mode != 0o755 {
		t.Errorf("a hard link is %+v", got)
	}
}
