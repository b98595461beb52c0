package oci

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

func example(t *testing.T) []byte {
	t.Helper()
	layer, err := Layer([]File{
		{Path: "bin/sh", Link: "busybox"},
		{Path: "bin", Mode: 0o755, Dir: true},
		{Path: "bin/busybox", Mode: 0o755, Data: []byte("program")},
	})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	config := v1.ImageConfig{Entrypoint: []string{"/bin/busybox"}}
	err = Write(&out,
		Image{Name: "example.test/a:1", Arch: "amd64", Config: config, Layers: [][]byte{layer}},
		Image{Name: "example.test/a:2", Arch: "amd64", Config: config, Layers: [][]byte{layer}})
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func entries(t *testing.T, data []byte) map[string][]byte {
	t.Helper()
	found := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		found[header.Name] = body
	}
}

func TestImagesOfOneNameAreForSeveralArchitectures(t *testing.T) {
	var out bytes.Buffer
	err := Write(&out,
		Image{Name: "example.test/a:1", Arch: "amd64", Layers: [][]byte{[]byte("one")}},
		Image{Name: "example.test/a:1", Arch: "arm64", Layers: [][]byte{[]byte("two")}},
		Image{Name: "example.test/b:1", Arch: "amd64", Layers: [][]byte{[]byte("one")}})
	if err != nil {
		t.Fatal(err)
	}
	files := entries(t, out.Bytes())
	var top, both v1.Index
	if err := json.Unmarshal(files["index.json"], &top); err != nil || len(top.Manifests) != 2 {
		t.Fatalf("%v, %+v", err, top.Manifests)
	}
	first := top.Manifests[0]
	if first.Annotations[NameAnnotation] != "example.test/a:1" || first.MediaType != v1.MediaTypeImageIndex {
		t.Errorf("%+v", first)
	}
	if err := json.Unmarshal(files[BlobPath(first.Digest)], &both); err != nil || len(both.Manifests) != 2 {
		t.Fatalf("%v, %+v", err, both.Manifests)
	}
	for i, arch := range []string{"amd64", "arm64"} {
		if d := both.Manifests[i]; d.Platform.Architecture != arch || d.Annotations != nil {
			t.Errorf("%+v", d)
		}
	}
}

func TestSameInputGivesSameBytes(t *testing.T) {
	if !bytes.Equal(example(t), example(t)) {
		t.Fatal("two archives of the same images differ")
	}
}

func TestEveryBlobHasItsDigestAsName(t *testing.T) {
	blobs := 0
	for name, body := range entries(t, example(t)) {
		digest, ok := strings.CutPrefix(name, "blobs/sha256/")
		if !ok {
			continue
		}
		blobs++
		if sum := sha256.Sum256(body); hex.EncodeToString(sum[:]) != digest {
			t.Errorf("%s holds other content", name)
		}
	}
	// One layer, one config and one manifest: the two images are the same but for their names.
	if blobs != 3 {
		t.Errorf("%d blobs, want 3", blobs)
	}
}

func TestIndexNamesEveryImage(t *testing.T) {
	var index v1.Index
	if err := json.Unmarshal(entries(t, example(t))["index.json"], &index); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, manifest := range index.Manifests {
		names = append(names, manifest.Annotations[NameAnnotation])
	}
	if got := strings.Join(names, " "); got != "example.test/a:1 example.test/a:2" {
		t.Fatalf("names %q", got)
	}
}

func TestLayerIsSortedSoThatDirectoriesComeFirst(t *testing.T) {
	layer, err := Layer([]File{{Path: "a/b", Data: []byte("x")}, {Path: "a", Dir: true}})
	if err != nil {
		t.Fatal(err)
	}
	first, err := tar.NewReader(bytes.NewReader(layer)).Next()
	if err != nil || first.Name != "a/" || first.Typeflag != tar.TypeDir {
		t.Fatalf("first entry %+v, %v", first, err)
	}
}
