package image

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/images/manifest"
	"github.com/skiff-dev/skiff/images/manifest/manifesttest"
)

// images writes an image for each release: the first is the default one.
func images(t *testing.T, releases ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i, release := range releases {
		at := dir
		if i > 0 {
			at = filepath.Join(dir, manifest.Minor(release))
		}
		if err := os.MkdirAll(at, 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := manifesttest.WriteFor(at, "amd64", release); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestTheImageOfAVersionIsFound(t *testing.T) {
	dir := images(t, "v1.36.3", "v1.35.8")
	for version, want := range map[string]string{"": "v1.36.3", "1.36": "v1.36.3", "1.35": "v1.35.8"} {
		image, err := Find(dir, version)
		if err != nil || image.Kubernetes != want || image.Minor != manifest.Minor(want) {
			t.Errorf("%q: %s, %v", version, image.Kubernetes, err)
		}
	}
	if _, err := Find(dir, "1.37"); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "Kubernetes 1.37 in "+dir) {
		t.Errorf("a version without an image: %v", err)
	}
	if _, err := Find(t.TempDir(), "1.35"); !errors.Is(err, ErrNotFound) {
		t.Errorf("no image at all: %v", err)
	}
}

func TestAnImageInTheDirectoryOfAnotherVersionIsRefused(t *testing.T) {
	dir := images(t, "v1.36.3", "v1.35.8")
	if err := os.Rename(filepath.Join(dir, "1.35"), filepath.Join(dir, "1.37")); err != nil {
		t.Fatal(err)
	}
	if _, err := Find(dir, "1.37"); err == nil || !strings.Contains(err.Error(), "is for Kubernetes v1.35.8, not for 1.37") {
		t.Errorf("error %v", err)
	}
}

func TestTheImageOfAnotherArchitectureIsFound(t *testing.T) {
	dir := images(t, "v1.36.3", "v1.35.8")
	far := filepath.Join(dir, "arm64")
	for at, release := range map[string]string{far: "v1.36.3", filepath.Join(far, "1.35"): "v1.35.7"} {
		if err := os.MkdirAll(at, 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := manifesttest.WriteFor(at, "arm64", release); err != nil {
			t.Fatal(err)
		}
	}
	find := func(version, arch string) (Image, error) {
		native, err := Find(dir, version)
		if err != nil {
			t.Fatal(err)
		}
		return FindForeign(dir, native, arch)
	}
	if image, err := find("", "arm64"); err != nil || image.Arch != "arm64" || image.Kubernetes != "v1.36.3" {
		t.Errorf("%+v, %v", image, err)
	}
	if _, err := find("1.35", "arm64"); err == nil || !strings.Contains(err.Error(), "the node image for arm64 is for Kubernetes v1.35.7, and that for amd64 for v1.35.8") {
		t.Errorf("another release: %v", err)
	}
	if _, err := find("", "riscv64"); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "of Kubernetes 1.36 for riscv64 in "+dir) {
		t.Errorf("no image: %v", err)
	}
	if _, err := manifesttest.WriteFor(far, "amd64", "v1.36.3"); err != nil {
		t.Fatal(err)
	}
	if _, err := find("", "arm64"); err == nil || !strings.Contains(err.Error(), "is for amd64") {
		t.Errorf("another architecture: %v", err)
	}
}

func TestImagesAreListedWithTheirArchitectures(t *testing.T) {
	dir := images(t, "v1.36.3", "v1.35.8", "v1.37.2")
	for at, release := range map[string]string{"arm64": "v1.36.3", "arm64/1.35": "v1.35.7"} {
		if err := os.MkdirAll(filepath.Join(dir, at), 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := manifesttest.WriteFor(filepath.Join(dir, at), "arm64", release); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(filepath.Join(dir, "1.37", manifest.Root), 0); err != nil {
		t.Fatal(err)
	}
	found, err := List(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for _, f := range found {
		got[f.Version] = f.Architectures
	}
	// The image of 1.35 for arm64 is of another release, and that of 1.37 is damaged.
	want := map[string][]string{"1.36": {"amd64", "arm64"}, "1.35": {"amd64"}, "1.37": {}}
	if !maps.EqualFunc(got, want, slices.Equal) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestTheDefaultImageOfAnotherSkiffIsNamedAsSuch(t *testing.T) {
	dir := images(t, "v1.36.3")
	content, err := os.ReadFile(filepath.Join(dir, manifest.Name))
	if err != nil {
		t.Fatal(err)
	}
	content = []byte(strings.Replace(string(content), `"contract":"`, `"contract":"f`, 1))
	if err := os.WriteFile(filepath.Join(dir, manifest.Name), content, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Find(dir, "1.36"); !errors.Is(err, ErrOther) {
		t.Errorf("error %v", err)
	}
}

func TestImagesAreListedWithTheirProblems(t *testing.T) {
	dir := images(t, "v1.36.3", "v1.35.8", "v1.37.2")
	if err := os.Truncate(filepath.Join(dir, "1.37", manifest.Root), 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "notes"), 0o700); err != nil {
		t.Fatal(err)
	}
	found, err := List(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range found {
		got = append(got, f.Version+" "+f.Kubernetes)
		if f.Default != (f.Dir == dir) || (f.Problem != "") != (f.Version == "1.37") {
			t.Errorf("%+v", f)
		}
	}
	if want := []string{"1.36 v1.36.3", "1.35 v1.35.8", "1.37 v1.37.2"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if found, err := List(filepath.Join(dir, "none")); err != nil || len(found) > 0 {
		t.Errorf("no directory: %v, %v", found, err)
	}
}
