// Package image finds a node image on the host and refuses one that is incomplete.
package image

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/skiff-dev/skiff/images/manifest"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/machine"
)

var (
	// ErrNotFound is returned if a directory has no node image.
	ErrNotFound = errors.New("no node image")
	// ErrOther is returned for an image whose nodes would not understand their
	// documents, so that "skiff up" would wait for them until it times out.
	ErrOther = errors.New("the node image was built for another version of skiff")
	// ErrNoRuntime is returned for a container runtime whose programs the image lacks.
	ErrNoRuntime = errors.New("the node image does not have the container runtime")
)

// Image is a node image and what is in it.
type Image struct {
	machine.Image
	// Kubernetes is the version that its nodes run: "v1.36.3". Minor is its minor
	// version: "1.36".
	Kubernetes, Minor string
	// Programs are those of manifest.Beside that the image has, by name.
	Programs map[string]Program
	// digests are the SHA-256 sums that the files must have, by path.
	digests map[string]string
}

// Program is a program that is not part of the image's root.
type Program struct {
	// Path is where it is on this host.
	Path string
	// SHA256 is in hexadecimal digits.
	SHA256 string
	Bytes  int64
}

// CheckRuntimes returns an error wrapping ErrNoRuntime if the image lacks a program of one of
// the named container runtimes.
func (i Image) CheckRuntimes(names []string) error {
	for _, runtime := range nodeconfig.RuntimesNamed(names) {
		for _, program := range runtime.Programs {
			if _, ok := i.Programs[program]; !ok {
				return fmt.Errorf("%w %s: %s is missing", ErrNoRuntime, runtime.Name, program)
			}
		}
	}
	return nil
}

// programs returns the programs of manifest.Beside that are in dir.
func programs(dir string, m manifest.Manifest) map[string]Program {
	found := map[string]Program{}
	for _, name := range manifest.Beside() {
		path := filepath.Join(dir, name)
		file, listed := m.Files[name]
		if info, err := os.Stat(path); listed && err == nil && info.Size() == file.Bytes {
			found[name] = Program{Path: path, SHA256: file.SHA256, Bytes: file.Bytes}
		}
	}
	return found
}

// Read reads the image in dir. The error wraps ErrNotFound if there is none, and
// ErrOther if it does not fit this program.
func Read(dir string) (Image, error) {
	m, err := manifest.Read(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return Image{}, fmt.Errorf("%w in %s", ErrNotFound, dir)
	}
	if err != nil {
		return Image{}, fmt.Errorf("read the node image: %w", err)
	}
	if m.Contract != nodeconfig.Contract() {
		return Image{}, fmt.Errorf("%w: %s", ErrOther, dir)
	}
	digests := map[string]string{}
	for _, name := range []string{manifest.Kernel, manifest.Initramfs, manifest.Root} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			return Image{}, fmt.Errorf("the node image is incomplete: %w", err)
		}
		if want := m.Files[name].Bytes; !info.Mode().IsRegular() || info.Size() != want {
			return Image{}, fmt.Errorf("the node image is incomplete: %s has %d bytes, want %d", filepath.Join(dir, name), info.Size(), want)
		}
		digests[filepath.Join(dir, name)] = m.Files[name].SHA256
	}
	return Image{
		Image: machine.Image{
			Digest: m.Digest, KernelDigest: m.Files[manifest.Kernel].SHA256, Arch: m.Arch, Cmdline: m.Cmdline,
			Kernel:    filepath.Join(dir, manifest.Kernel),
			Initramfs: filepath.Join(dir, manifest.Initramfs),
			Root:      filepath.Join(dir, manifest.Root),
		},
		Kubernetes: m.Kubernetes, Minor: m.Minor(),
		Programs: programs(dir, m),
		digests:  digests,
	}, nil
}
