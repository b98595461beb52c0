package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// builder makes archives.
type builder struct {
	t     testing.TB
	files []string
	data  map[string]string
}

func build(t testing.TB) *builder { return &builder{t: t, data: map[string]string{}} }

func (b *builder) file(name, content string) {
	if _, ok := b.data[name]; !ok {
		b.files = append(b.files, name)
	}
	b.data[name] = content
}

func (b *builder) json(name string, value any) string {
	content, err := json.Marshal(value)
	if err != nil {
		b.t.Fatal(err)
	}
	b.file(name, string(content))
	return string(content)
}

func (b *builder) blob(content string) descriptor {
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte(content)))
	b.file("blobs/sha256/"+sum, content)
	return descriptor{Digest: "sha256:" + sum, Size: int64(len(content))}
}

func (b *builder) jsonBlob(value any) descriptor {
	content, err := json.Marshal(value)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.blob(string(content))
}

// image adds a manifest with layers.
func (b *builder) image(os, arch string, layers ...string) descriptor {
	config := b.jsonBlob(platform{os, arch})
	m := manifest{Config: &config}
	for _, layer := range layers {
		m.Layers = append(m.Layers, b.blob(layer))
	}
	return b.jsonBlob(m)
}

func (b *builder) layout(manifests ...descriptor) *builder {
	b.json("oci-layout", map[string]string{"imageLayoutVersion": "1.0.0"})
	b.json("index.json", manifest{Manifests: manifests})
	return b
}

func (b *builder) tar() []byte {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, name := range b.files {
		content := b.data[name]
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}); err != nil {
			b.t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			b.t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		b.t.Fatal(err)
	}
	return out.Bytes()
}

func called(name string, d descriptor) descriptor {
	d.Annotations = map[string]string{annotationName: name}
	return d
}

func oci(t testing.TB, arch string) *builder {
	b := build(t)
	return b.layout(called("docker.io/library/app:1", b.image("linux", arch, strings.Repeat("layer", 1000))))
}

func saved(t testing.TB, arch string) *builder {
	b := build(t)
	b.json("config.json", platform{"linux", arch})
	if arch == "" {
		b.json("config.json", platform{})
	}
	b.file("abc/layer.tar", strings.Repeat("layer", 1000))
	b.json("manifest.json", []map[string]any{{"Config": "config.json", "RepoTags": []string{"app:1", "app:latest"}, "Layers": []string{"abc/layer.tar"}}})
	return b
}

func compressed(t testing.TB, content []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zstandard(t testing.TB, content []byte) []byte {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(content, nil)
}

func TestReadReturnsTheImages(t *testing.T) {
	many := build(t)
	index := many.jsonBlob(manifest{Manifests: []descriptor{
		many.image("linux", "amd64", "one"), many.image("linux", "arm64", "two"), many.image("unknown", "unknown", "attestation"),
	}})
	many.layout(called("app:many", index))

	partial := build(t)
	other := partial.image("linux", "arm64", "never pulled")
	index = partial.jsonBlob(manifest{Manifests: []descriptor{other, partial.image("linux", "amd64", "here")}})
	partial.layout(called("app:partial", index))
	delete(partial.data, "blobs/sha256/"+strings.TrimPrefix(other.Digest, "sha256:"))
	partial.files = without(partial.files, "blobs/sha256/"+strings.TrimPrefix(other.Digest, "sha256:"))

	aliases := build(t)
	d := aliases.image("linux", "amd64", "x")
	aliases.layout(called("a:1", d), called("a:2", d))

	shared := build(t)
	shared.layout(called("a:1", shared.image("linux", "amd64", "base", "one")), called("b:1", shared.image("linux", "amd64", "base", "two")))

	for name, c := range map[string]struct {
		content []byte
		want    []Image
	}{
		"OCI layout":             {oci(t, "amd64").tar(), []Image{{Names: []string{"docker.io/library/app:1"}}}},
		"docker save":            {saved(t, "amd64").tar(), []Image{{Names: []string{"app:1", "app:latest"}}}},
		"gzip":                   {compressed(t, oci(t, "amd64").tar()), []Image{{Names: []string{"docker.io/library/app:1"}}}},
		"zstd":                   {zstandard(t, oci(t, "amd64").tar()), []Image{{Names: []string{"docker.io/library/app:1"}}}},
		"no platform":            {saved(t, "").tar(), []Image{{Names: []string{"app:1", "app:latest"}}}},
		"many platforms":         {many.tar(), []Image{{Names: []string{"app:many"}}}},
		"others not pulled":      {partial.tar(), []Image{{Names: []string{"app:partial"}}}},
		"a shared layer":         {shared.tar(), []Image{{Names: []string{"a:1"}}, {Names: []string{"b:1"}}}},
		"two names of one image": {aliases.tar(), []Image{{Names: []string{"a:1", "a:2"}}}},
	} {
		got, err := Read(t.Context(), bytes.NewReader(c.content), "amd64")
		for i := range got {
			if layout := name != "docker save" && name != "no platform"; layout != (got[i].Digest != "") {
				t.Errorf("%s: digest %q", name, got[i].Digest)
			}
			got[i].Digest, got[i].Layers = "", nil
		}
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func without(all []string, one string) []string {
	var kept []string
	for _, s := range all {
		if s != one {
			kept = append(kept, s)
		}
	}
	return kept
}

func TestReadRejectsImagesThatCannotRun(t *testing.T) {
	unnamed := build(t)
	d := unnamed.image("linux", "amd64", "x")
	d.Annotations = map[string]string{annotationRef: "latest"}
	unnamed.layout(d)

	damaged := oci(t, "amd64")
	for _, name := range damaged.files {
		if strings.HasPrefix(damaged.data[name], "layer") {
			damaged.data[name] = strings.Repeat("LAYER", 1000)
		}
	}
	wrong := build(t)
	wrong.layout(called("x:1", wrong.image("windows", "amd64", "x")))

	for name, c := range map[string]struct {
		content []byte
		err     error
		says    string
	}{
		"another architecture":        {oci(t, "arm64").tar(), ErrPlatform, "docker.io/library/app:1 is for linux/arm64, but the nodes run linux/amd64"},
		"another architecture, saved": {saved(t, "arm64").tar(), ErrPlatform, "app:1 is for linux/arm64, but the nodes run linux/amd64"},
		"another system":              {wrong.tar(), ErrPlatform, "x:1 is for windows/amd64"},
		"no name":                     {unnamed.tar(), ErrUnnamed, "save it under a full name"},
		"damaged layer":               {damaged.tar(), ErrFormat, "its content does not match its digest"},
		"empty file":                  {nil, ErrTruncated, "only 0 bytes"},
		"text":                        {[]byte(strings.Repeat("no tar ", 200)), ErrFormat, ""},
		"another tar":                 {func() []byte { b := build(t); b.file("a", "b"); return b.tar() }(), ErrFormat, "neither oci-layout nor manifest.json"},
		"zstd":                        {zstandard(t, []byte(strings.Repeat("no tar ", 200))), ErrFormat, ""},
		"xz":                          {[]byte{0xfd, '7', 'z', 'X', 'Z', 0}, ErrFormat, "decompress it first"},
	} {
		_, err := Read(t.Context(), bytes.NewReader(c.content), "amd64")
		if !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReadRejectsEveryTruncation(t *testing.T) {
	for name, whole := range map[string][]byte{
		"OCI layout": oci(t, "amd64").tar(), "docker save": saved(t, "amd64").tar(), "gzip": compressed(t, oci(t, "amd64").tar()),
	} {
		end := len(whole)
		if name != "gzip" {
			end -= 1024 + 511 // padding and the end mark say nothing
		}
		for n := 0; n < end; n += 97 {
			if _, err := Read(t.Context(), bytes.NewReader(whole[:n]), "amd64"); err == nil {
				t.Errorf("%s: %d of %d bytes are accepted", name, n, len(whole))
			}
		}
	}
}

func TestLayersOfBazelMatchTheirDigest(t *testing.T) {
	layer := compressed(t, []byte("layer"))
	sum := fmt.Sprintf("%x", sha256.Sum256(layer))
	for _, content := range []string{string(layer), "damaged"} {
		b := build(t)
		name := "blobs/sha256/" + sum + ".tar.gz"
		b.file(name, content)
		b.json("config.json", platform{"linux", "amd64"})
		b.json("manifest.json", []map[string]any{{"Config": "config.json", "RepoTags": []string{"bazel/app:1"}, "Layers": []string{name}}})
		_, err := Read(t.Context(), bytes.NewReader(b.tar()), "amd64")
		if (err == nil) != (content == string(layer)) {
			t.Errorf("%.7q: %v", content, err)
		}
	}
}

// An index that repeats its child, three levels deep, has 8 billion paths.
func TestRepeatedIndexesTakeLinearTime(t *testing.T) {
	b := build(t)
	d := b.image("linux", "s390x", "x")
	for range 3 {
		d = b.jsonBlob(manifest{Manifests: slices.Repeat([]descriptor{d}, 2000)})
	}
	b.layout(called("app:1", d))
	if _, err := Read(t.Context(), bytes.NewReader(b.tar()), "amd64"); !errors.Is(err, ErrPlatform) {
		t.Errorf("got %v", err)
	}
}

func TestReadEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	endless := &onRead{strings.NewReader(string(oci(t, "amd64").tar()[:512])), cancel}
	if _, err := Read(ctx, io.MultiReader(endless, &zeros{}), "amd64"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// onRead calls a function at the first read.
type onRead struct {
	io.Reader
	call func()
}

func (o *onRead) Read(p []byte) (int, error) {
	o.call()
	return o.Reader.Read(p)
}

// zeros is an endless file.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func FuzzRead(f *testing.F) {
	f.Add(oci(f, "amd64").tar())
	f.Add(saved(f, "amd64").tar())
	f.Add(compressed(f, saved(f, "arm64").tar()))
	f.Fuzz(func(t *testing.T, content []byte) {
		images, err := Read(t.Context(), bytes.NewReader(content), "amd64")
		if err != nil {
			return
		}
		for _, image := range images {
			if len(image.Names) == 0 {
				t.Error("an image without a name is accepted")
			}
		}
	})
}

func TestVariantsAreReadAtOnce(t *testing.T) {
	variants, err := ReadFor(t.Context(), bytes.NewReader(oci(t, "arm64").tar()), "amd64", "arm64")
	if err != nil || len(variants) != 2 {
		t.Fatalf("%+v, %v", variants, err)
	}
	if v := variants[0]; v.Arch != "amd64" || !errors.Is(v.Missing, ErrPlatform) || v.Images != nil {
		t.Errorf("%+v", v)
	}
	if v := variants[1]; v.Arch != "arm64" || v.Missing != nil || len(v.Images) != 1 || len(v.Images[0].Layers) == 0 {
		t.Errorf("%+v", v)
	}
}
