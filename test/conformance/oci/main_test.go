package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestImagesOfOneArchiveShareTheirLayers(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"base", "program"} {
		write(t, filepath.Join(in(name), "bin", name), name+"'s content")
		if err := run([]string{"layer", in(name + ".tar"), in(name)}); err != nil {
			t.Fatal(err)
		}
	}
	write(t, in("list"), "example.test/a:1,example.test/a:2\t{\"Cmd\":[\"sh\",\"-c\",\"true\"]}\tbase\n"+
		"example.test/b:1\t{\"User\":\"1234\"}\tbase program\n")
	if err := run([]string{"archive", in("all.tar"), in("list"), dir}); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(in("all.tar"))
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(content, []byte("base's content")); n != 1 {
		t.Errorf("a layer that all images share is stored %d times", n)
	}
	files, err := unpack(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	var index struct {
		Manifests []descriptor
	}
	if err := json.Unmarshal(files["index.json"], &index); err != nil {
		t.Fatal(err)
	}
	layers := map[string]int{}
	for _, m := range index.Manifests {
		var manifest struct{ Layers []struct{} }
		if err := json.Unmarshal(files[blobName(m.Digest)], &manifest); err != nil {
			t.Fatal(err)
		}
		layers[m.Annotations["io.containerd.image.name"]] = len(manifest.Layers)
	}
	if len(layers) != 3 || layers["example.test/a:1"] != 1 || layers["example.test/a:2"] != 1 || layers["example.test/b:1"] != 2 {
		t.Errorf("layers by image: %v", layers)
	}
}

func TestAnArchiveIsThereAsAWholeOrNotAtAll(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "list"), "example.test/a:1\t{}\tabsent\n")
	if err := run([]string{"archive", filepath.Join(dir, "all.tar"), filepath.Join(dir, "list"), dir}); err == nil {
		t.Error("an absent layer is taken")
	}
	for _, line := range []string{"", "a\t{}", "a\tnothing\tbase", "a\t{}\tbase\tmore"} {
		if _, _, err := parse(line); err == nil {
			t.Errorf("line %q is accepted", line)
		}
	}
	out := filepath.Join(dir, "out")
	write(t, out, "old")
	if err := replace(out, func(io.Writer) error { return io.ErrShortWrite }); !errors.Is(err, io.ErrShortWrite) {
		t.Error(err)
	}
	if content, err := os.ReadFile(out); err != nil || string(content) != "old" {
		t.Errorf("%q, %v", content, err)
	}
	if files, err := filepath.Glob(filepath.Join(dir, "*.new")); err != nil || len(files) > 0 {
		t.Errorf("files left behind: %q, %v", files, err)
	}
}

func TestARegistrysDirectoryIsWhatAgnhostServes(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	write(t, in("base.tar"), "layer")
	write(t, in("list"), "localhost:5000/pause:testing\t{}\tbase\n")
	if err := run([]string{"registry", in("out"), in("list"), dir}); err != nil {
		t.Fatal(err)
	}
	read := func(path string) []byte {
		t.Helper()
		content, err := os.ReadFile(filepath.Join(in("out"), "pause", path))
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	var manifest struct {
		MediaType string
		Layers    []descriptor
	}
	if err := json.Unmarshal(read(stored("manifests", string(read("manifests/testing")))), &manifest); err != nil {
		t.Fatal(err)
	}
	if manifest.MediaType == "" || len(manifest.Layers) != 1 {
		t.Fatalf("%+v", manifest)
	}
	if layer := read(stored("blobs", manifest.Layers[0].Digest)); string(layer) != "layer" {
		t.Errorf("%q", layer)
	}
}
