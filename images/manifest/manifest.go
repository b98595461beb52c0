// Package manifest is the description of a node image: what the builder writes
// and the host reads.
package manifest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// The files of an image's directory.
const (
	Kernel    = "kernel"
	Initramfs = "initramfs"
	Root      = "root.erofs"
	// Builder is the program that builds images. It is not part of the node: the host
	// sends it to a node that needs it. An image without one cannot build.
	Builder = "skiff-builder"
	// Name is the Manifest as JSON. It is written last.
	Name = "image.json"
)

// Beside returns the programs that are files of the image and not part of its root: Builder
// and those of container runtimes, which the host sends to nodes that need them.
func Beside() []string {
	names := []string{Builder}
	for _, runtime := range nodeconfig.Runtimes() {
		names = append(names, runtime.Programs...)
	}
	return names
}

// Manifest describes an image.
type Manifest struct {
	// Digest covers kernel, initramfs, root and kernel command line:
	// "sha256:" and 64 hexadecimal digits.
	Digest string `json:"digest"`
	// Arch is Go's name of the architecture: amd64 or arm64.
	Arch string `json:"arch"`
	// Kubernetes is the version that the image's nodes run: "v1.36.3".
	Kubernetes string `json:"kubernetes"`
	// Contract identifies the node documents that the image's nodes understand; see
	// nodeconfig.Contract. An image without one fits no program.
	Contract string `json:"contract,omitempty"`
	// Cmdline is the kernel's command line.
	Cmdline string `json:"cmdline"`
	// KernelRelease is what uname -r prints in a node.
	KernelRelease string `json:"kernelRelease"`
	// Files has a File for each of Kernel, Initramfs and Root, and of Beside.
	Files map[string]File `json:"files"`
	// Debian is the code name of the release that Packages are from: "bookworm". It is empty
	// in images of older versions, and if the image was not built on Debian.
	Debian string `json:"debian,omitempty"`
	// Packages are the Debian packages that files were taken from.
	Packages []Package `json:"packages"`
	// Programs are the project's own and third-party programs.
	Programs []Program `json:"programs"`
	// Inputs is the digest of everything that the image was made from.
	Inputs string `json:"inputs"`
}

// File is one file of an image.
type File struct {
	Bytes int64 `json:"bytes"`
	// SHA256 is in hexadecimal digits.
	SHA256 string `json:"sha256"`
}

// Package is a Debian package at one version.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	// Source and SourceVersion are the source package that it was built from, as Debian's
	// security tracker knows it. They are empty in locks and in images of older versions.
	Source        string `json:"source,omitempty"`
	SourceVersion string `json:"sourceVersion,omitempty"`
	// File is the name of its archive.
	File string `json:"file"`
	// SHA256 is the digest of its archive.
	SHA256 string `json:"sha256"`
}

// Program is a program of an image and the Go modules that it was linked from.
type Program struct {
	Path    string `json:"path"`
	Bytes   int64  `json:"bytes"`
	SHA256  string `json:"sha256"`
	Go      string `json:"go,omitempty"`
	Module  string `json:"module,omitempty"`
	Version string `json:"version,omitempty"`
	// Modules are "PATH VERSION SUM"; a replaced module is listed as its
	// replacement.
	Modules []string `json:"modules,omitempty"`
}

// Minor returns the minor version of Kubernetes that the image's nodes run, as in "1.36";
// empty if the manifest does not name a release.
func (m Manifest) Minor() string { return Minor(m.Kubernetes) }

// Minor returns the minor version, as in "1.36", of a release such as "v1.36.3"; empty if
// version is not a release.
func Minor(version string) string {
	parts := release.FindStringSubmatch(version)
	if parts == nil {
		return ""
	}
	return parts[1]
}

// IsMinor reports whether version is a minor version of Kubernetes, as in "1.36".
func IsMinor(version string) bool { return version != "" && Minor("v"+version+".0") == version }

// release matches a release of Kubernetes.
var release = regexp.MustCompile(`^v(1\.[0-9]{1,3})\.[0-9]{1,3}$`)

// Read reads the manifest of the image in dir. The error wraps fs.ErrNotExist if
// there is none.
func Read(dir string) (Manifest, error) {
	content, err := os.ReadFile(filepath.Join(dir, Name))
	if err != nil {
		return Manifest{}, err
	}
	m, err := Parse(content)
	if err != nil {
		return Manifest{}, fmt.Errorf("read %s: %w", filepath.Join(dir, Name), err)
	}
	return m, nil
}

// Parse decodes a manifest and checks what a host relies on. A field that is not
// known is ignored: an image may be newer than the program that reads it.
func Parse(content []byte) (Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(content, &m); err != nil {
		return Manifest{}, err
	}
	if digest, found := strings.CutPrefix(m.Digest, "sha256:"); !found || !isSHA256(digest) {
		return Manifest{}, fmt.Errorf("invalid digest %q: want sha256: and 64 hexadecimal digits", m.Digest)
	}
	if m.Arch != "amd64" && m.Arch != "arm64" {
		return Manifest{}, fmt.Errorf("unsupported architecture %q: want amd64 or arm64", m.Arch)
	}
	if strings.ContainsAny(m.Cmdline, "\x00\n") {
		return Manifest{}, fmt.Errorf("the kernel command line has more than one line")
	}
	for _, name := range []string{Kernel, Initramfs, Root} {
		if f := m.Files[name]; f.Bytes <= 0 || !isSHA256(f.SHA256) {
			return Manifest{}, fmt.Errorf("file %s has no size or no valid SHA-256 digest", name)
		}
	}
	return m, nil
}

func isSHA256(digits string) bool {
	return len(digits) == 64 && strings.Trim(digits, "0123456789abcdef") == ""
}
