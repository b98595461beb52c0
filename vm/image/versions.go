package image

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/skiff-dev/skiff/images/manifest"
)

// Found is an image of a directory of images: the default one, which is in the directory
// itself, or one for another version of Kubernetes, in a directory named after it, as in
// "1.35".
type Found struct {
	// Version is the minor version of Kubernetes that its nodes run, as in "1.35", and
	// Kubernetes the release: "v1.35.8". Both are empty if the manifest cannot be read.
	Version    string `json:"version"`
	Kubernetes string `json:"kubernetes"`
	Default    bool   `json:"default"`
	Digest     string `json:"digest"`
	Arch       string `json:"arch"`
	// Architectures are those that nodes can have: Arch, then others whose image is of the
	// same release. There are none if the image cannot be used.
	Architectures []string `json:"architectures"`
	Dir           string   `json:"directory"`
	// Problem is why the image cannot be used; empty if it can.
	Problem string `json:"problem,omitempty"`
}

// Find reads the image for a minor version of Kubernetes, as in "1.35", or the default
// one if version is empty. The error wraps ErrNotFound if there is none.
func Find(dir, version string) (Image, error) {
	if m, err := manifest.Read(dir); version == "" || err == nil && m.Minor() == version {
		return Read(dir)
	}
	other := filepath.Join(dir, version)
	image, err := Read(other)
	switch {
	case errors.Is(err, ErrNotFound):
		return Image{}, fmt.Errorf("%w for Kubernetes %s in %s", ErrNotFound, version, dir)
	case err == nil && image.Minor != version:
		return Image{}, fmt.Errorf("the node image in %s is for Kubernetes %s, not for %s", other, image.Kubernetes, version)
	}
	return image, err
}

// FindForeign reads the image of the same release as native for machines of another
// architecture than this host's. It is in a directory named after the architecture, as in
// "arm64", which is laid out like dir. The error wraps ErrNotFound if there is none.
func FindForeign(dir string, native Image, arch string) (Image, error) {
	image, err := Find(filepath.Join(dir, arch), native.Minor)
	switch {
	case errors.Is(err, ErrNotFound):
		return Image{}, fmt.Errorf("%w of Kubernetes %s for %s in %s", ErrNotFound, native.Minor, arch, dir)
	case err == nil && image.Arch != arch:
		return Image{}, fmt.Errorf("the node image in %s is for %s", filepath.Join(dir, arch), image.Arch)
	case err == nil && image.Kubernetes != native.Kubernetes:
		return Image{}, fmt.Errorf("the node image for %s is for Kubernetes %s, and that for %s for %s: nodes of a cluster need the same release", arch, image.Kubernetes, native.Arch, native.Kubernetes)
	}
	return image, err
}

// List returns the images in dir, the default one first.
func List(dir string) ([]Found, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list the node images: %w", err)
	}
	names, foreign := []string{""}, []string{}
	for _, entry := range entries {
		if manifest.IsMinor(entry.Name()) {
			names = append(names, entry.Name())
		} else if entry.IsDir() {
			foreign = append(foreign, entry.Name())
		}
	}
	var all []Found
	for _, name := range names {
		at := filepath.Join(dir, name)
		m, err := manifest.Read(at)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		found := Found{
			Version: cmp.Or(m.Minor(), name), Kubernetes: m.Kubernetes, Default: name == "",
			Digest: m.Digest, Arch: m.Arch, Architectures: []string{}, Dir: at,
		}
		native, err := Find(dir, name)
		if err != nil {
			found.Problem = err.Error()
		} else {
			found.Architectures = architectures(dir, native, foreign)
		}
		all = append(all, found)
	}
	return all, nil
}

// architectures returns that of native and those of the others that have an image for it.
func architectures(dir string, native Image, others []string) []string {
	all := []string{native.Arch}
	for _, arch := range others {
		if _, err := FindForeign(dir, native, arch); err == nil {
			all = append(all, arch)
		}
	}
	return all
}
