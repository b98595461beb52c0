// Package image reads what describes a node image on the host, and refuses an
// image of which a part is missing.
package image

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/skiff-dev/skiff/vm/machine"
)

// File describes the image, beside the files that it names.
const File = "image.json"

// ErrNotFound says that there is no node image in the directory.
var ErrNotFound = errors.New("no node image")

// manifest is the content of image.json as far as the host needs it.
type manifest struct {
	Digest     string `json:"digest"`
	Arch       string `json:"arch"`
	Kernel     string `json:"kernel"`
	Initramfs  string `json:"initramfs"`
	Root       string `json:"root"`
	Cmdline    string `json:"cmdline"`
	Kubernetes string `json:"kubernetes"`
	// Files are the image's own, by name.
	Files map[string]struct {
		SHA256 string `json:"sha256"`
	} `json:"files"`
}

// Image is a node image and what is in it.
type Image struct {
	machine.Image
	// Kubernetes is the version that its nodes run: "v1.36.3".
	Kubernetes string
}

// Read reads the image in dir. The error is ErrNotFound if there is none.
func Read(dir string) (Image, error) {
	content, err := os.ReadFile(filepath.Join(dir, File))
	if errors.Is(err, fs.ErrNotExist) {
		return Image{}, fmt.Errorf("%w in %s", ErrNotFound, dir)
	}
	if err != nil {
		return Image{}, fmt.Errorf("read the node image: %w", err)
	}
	image, err := Parse(content, dir)
	if err != nil {
		return Image{}, fmt.Errorf("read %s: %w", filepath.Join(dir, File), err)
	}
	for _, path := range []string{image.Kernel, image.Initramfs, image.Root} {
		info, err := os.Stat(path)
		if err != nil {
			return Image{}, fmt.Errorf("the node image is incomplete: %w", err)
		}
		if !info.Mode().IsRegular() || info.Size() == 0 {
			return Image{}, fmt.Errorf("the node image is incomplete: %s is no file with content", path)
		}
	}
	return image, nil
}

// Parse reads the content of image.json of an image in dir.
func Parse(content []byte, dir string) (Image, error) {
	m := manifest{Kernel: "kernel", Initramfs: "initramfs", Root: "root.erofs"}
	if err := json.Unmarshal(content, &m); err != nil {
		return Image{}, err
	}
	if digest, found := strings.CutPrefix(m.Digest, "sha256:"); !found || len(digest) != 64 || strings.Trim(digest, "0123456789abcdef") != "" {
		return Image{}, fmt.Errorf("digest %q is not sha256 and 64 hexadecimal digits", m.Digest)
	}
	if m.Arch != "amd64" && m.Arch != "arm64" {
		return Image{}, fmt.Errorf("architecture %q is neither amd64 nor arm64", m.Arch)
	}
	if strings.ContainsAny(m.Cmdline, "\x00\n") {
		return Image{}, fmt.Errorf("the kernel's command line has more than one line")
	}
	for _, name := range []string{m.Kernel, m.Initramfs, m.Root} {
		if !filepath.IsLocal(name) {
			return Image{}, fmt.Errorf("file %q is not below the image's directory", name)
		}
	}
	return Image{
		Image: machine.Image{
			Digest: m.Digest, KernelDigest: m.Files[m.Kernel].SHA256, Arch: m.Arch, Cmdline: m.Cmdline,
			Kernel:    filepath.Join(dir, m.Kernel),
			Initramfs: filepath.Join(dir, m.Initramfs),
			Root:      filepath.Join(dir, m.Root),
		},
		Kubernetes: m.Kubernetes,
	}, nil
}
