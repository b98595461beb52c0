package pushed

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"
	"github.com/sirupsen/logrus"
)

const testLimit = 4 << 20

// open opens a store and serves it. The result is the host that clients push to.
func open(t *testing.T, dir string) (*Store, string) {
	t.Helper()
	logrus.SetOutput(io.Discard)
	s, err := New(t.Context(), Config{Dir: dir, LimitBytes: testLimit, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return s, strings.TrimPrefix(server.URL, "http://")
}

func push(t *testing.T, at string, image v1.Image) error {
	t.Helper()
	ref, err := name.ParseReference(at)
	if err != nil {
		t.Fatal(err)
	}
	return remote.Write(ref, image, remote.WithContext(t.Context()))
}

func newImage(t *testing.T, size int64) v1.Image {
	t.Helper()
	image, err := random.Image(size, 2)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// pulls reports whether a reference can be pulled completely.
func pulls(t *testing.T, at string) error {
	t.Helper()
	ref, err := name.ParseReference(at)
	if err != nil {
		t.Fatal(err)
	}
	image, err := remote.Image(ref, remote.WithContext(t.Context()))
	if err != nil {
		return err
	}
	layers, err := image.Layers()
	if err != nil {
		return err
	}
	for _, layer := range layers {
		content, err := layer.Compressed()
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, content); err != nil {
			return err
		}
	}
	return nil
}

func digestOf(t *testing.T, image v1.Image) string {
	t.Helper()
	d, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

func TestPushedImagesOutliveTheStore(t *testing.T) {
	dir := t.TempDir()
	_, at := open(t, dir)
	image := newImage(t, 1000)
	if err := push(t, at+"/team/app:1", image); err != nil {
		t.Fatal(err)
	}
	s, at := open(t, dir)
	if err := pulls(t, at+"/team/app:1"); err != nil {
		t.Error(err)
	}
	images, err := s.Images(t.Context())
	if err != nil || len(images) != 1 || images[0] != (Image{"team/app:1", digestOf(t, image)}) {
		t.Errorf("images: %v, %v", images, err)
	}
	if s.Bytes() < 2000 {
		t.Errorf("%d bytes", s.Bytes())
	}
}

func TestAnEmptyStoreHasNoImages(t *testing.T) {
	s, _ := open(t, t.TempDir())
	images, err := s.Images(t.Context())
	if err != nil || len(images) != 0 {
		t.Errorf("%v, %v", images, err)
	}
	if freed, err := s.Collect(t.Context(), Options{}); err != nil || freed != 0 {
		t.Errorf("freed %d, %v", freed, err)
	}
}

// age makes everything in the store look as if it was written long ago.
func age(t *testing.T, dir string) {
	t.Helper()
	then := time.Now().Add(-48 * time.Hour)
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		return os.Chtimes(path, then, then)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestCollectDeletesWhatLostItsTag(t *testing.T) {
	dir := t.TempDir()
	s, at := open(t, dir)
	old, current := newImage(t, 1000), newImage(t, 1000)
	for _, image := range []v1.Image{old, current} {
		if err := push(t, at+"/app:latest", image); err != nil {
			t.Fatal(err)
		}
	}
	if freed, err := s.Collect(t.Context(), Options{Untagged: time.Hour}); err != nil || freed != 0 {
		t.Errorf("a young image: freed %d, %v", freed, err)
	}
	age(t, dir)
	would, err := s.Collect(t.Context(), Options{Untagged: time.Hour, DryRun: true})
	if err != nil || would < 2000 {
		t.Errorf("dry run: %d, %v", would, err)
	}
	if err := pulls(t, at+"/app@"+digestOf(t, old)); err != nil {
		t.Errorf("after a dry run: %v", err)
	}
	freed, err := s.Collect(t.Context(), Options{Untagged: time.Hour})
	if err != nil || freed != would {
		t.Errorf("freed %d, %v, want %d", freed, err, would)
	}
	if err := pulls(t, at+"/app:latest"); err != nil {
		t.Errorf("the tagged image: %v", err)
	}
	if err := pulls(t, at+"/app@"+digestOf(t, old)); err == nil {
		t.Error("the image without a tag is still there")
	}
	// The store knows that the layers are gone, so they are pushed again.
	if err := push(t, at+"/app:old", old); err != nil {
		t.Fatal(err)
	}
	if err := pulls(t, at+"/app:old"); err != nil {
		t.Errorf("pushed again: %v", err)
	}
}

func TestCollectKeepsThePartsOfAnIndex(t *testing.T) {
	dir := t.TempDir()
	s, at := open(t, dir)
	index, err := random.Index(500, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(at + "/multi:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(ref, index); err != nil {
		t.Fatal(err)
	}
	age(t, dir)
	if _, err := s.Collect(t.Context(), Options{}); err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range manifest.Manifests {
		if err := pulls(t, at+"/multi@"+part.Digest.String()); err != nil {
			t.Errorf("%s: %v", part.Digest, err)
		}
	}
}

func TestCollectAllLeavesNothing(t *testing.T) {
	s, at := open(t, t.TempDir())
	image := newImage(t, 1000)
	if err := push(t, at+"/app:1", image); err != nil {
		t.Fatal(err)
	}
	if freed, err := s.Collect(t.Context(), Options{All: true}); err != nil || freed < 2000 {
		t.Errorf("freed %d, %v", freed, err)
	}
	if images, err := s.Images(t.Context()); err != nil || len(images) != 0 || s.Bytes() != 0 {
		t.Errorf("%v, %v, %d bytes", images, err, s.Bytes())
	}
	if err := push(t, at+"/app:1", image); err != nil {
		t.Errorf("pushed again: %v", err)
	}
}

func TestAFullStoreRefusesPushesAndStillServes(t *testing.T) {
	s, at := open(t, t.TempDir())
	if err := push(t, at+"/small:1", newImage(t, 1000)); err != nil {
		t.Fatal(err)
	}
	err := push(t, at+"/large:1", newImage(t, testLimit))
	if err == nil {
		t.Error("a push over the limit succeeded")
	}
	if err := pulls(t, at+"/small:1"); err != nil {
		t.Error(err)
	}
	s.bytes.Store(testLimit)
	// What counted were uploads that failed, so there is room again.
	if _, err := s.Collect(t.Context(), Options{}); err != nil {
		t.Fatal(err)
	}
	if err := push(t, at+"/small:2", newImage(t, 1000)); err != nil {
		t.Error(err)
	}
}

func TestRestedWaitsForTheEndOfPushes(t *testing.T) {
	s, at := open(t, t.TempDir())
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if s.Rested(ctx, time.Millisecond) {
		t.Error("rested without a push")
	}
	if err := push(t, at+"/app:1", newImage(t, 10)); err != nil {
		t.Fatal(err)
	}
	if !s.Rested(t.Context(), time.Millisecond) {
		t.Error("not rested after a push")
	}
}

func TestASmallFileIsWrittenCompletelyOrNotAtAll(t *testing.T) {
	d := &driver{t.TempDir()}
	if err := d.PutContent(t.Context(), "/a/b", []byte("first")); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(filepath.Join(d.root, "a/b"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := d.PutContent(t.Context(), "/a/b", []byte("second")); err != nil {
		t.Fatal(err)
	}
	// The old file was replaced, not written to.
	if content, err := io.ReadAll(file); err != nil || string(content) != "first" {
		t.Errorf("%q, %v", content, err)
	}
}

func TestTheDriverRefusesPathsOutside(t *testing.T) {
	d := &driver{t.TempDir()}
	for _, path := range []string{"/../x", "../x", "/a/../../x", "x", "", "/a//b", "/a/./b", "/a\x00b"} {
		if _, err := d.GetContent(t.Context(), path); !errors.As(err, &storagedriver.InvalidPathError{}) {
			t.Errorf("%q: %v", path, err)
		}
	}
	if _, err := d.GetContent(t.Context(), "/missing"); !errors.As(err, &storagedriver.PathNotFoundError{}) {
		t.Errorf("missing: %v", err)
	}
}

func TestUploadsAreContinuedAndCounted(t *testing.T) {
	s, at := open(t, t.TempDir())
	content := strings.Repeat("x", 5000)
	post, err := http.Post("http://"+at+"/v2/app/blobs/uploads/", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer post.Body.Close()
	location := post.Header.Get("Location")
	for _, part := range []string{content[:2000], content[2000:]} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, location, strings.NewReader(part))
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		location = response.Header.Get("Location")
	}
	d := digest.FromString(content)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, location+"&digest="+d.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusCreated {
		t.Fatal(response.Status)
	}
	if stored, err := os.ReadFile(s.blob(d)); err != nil || string(stored) != content || s.Bytes() < 5000 {
		t.Errorf("%d bytes stored, %d counted, %v", len(stored), s.Bytes(), err)
	}
}
