// Package manifesttest writes node images that tests can read and not boot.
package manifesttest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"

	"github.com/skiff-dev/skiff/images/manifest"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// Write writes an image of an architecture to dir. Its files have a few bytes.
func Write(dir, arch string) (manifest.Manifest, error) { return WriteFor(dir, arch, "v1.36.3") }

// WriteFor is Write for a version of Kubernetes.
func WriteFor(dir, arch, kubernetes string) (manifest.Manifest, error) {
	m := manifest.Manifest{
		Digest: "sha256:" + strings.Repeat("0", 63) + "1", Arch: arch, Kubernetes: kubernetes, Cmdline: "quiet",
		Contract: nodeconfig.Contract(),
		Files:    map[string]manifest.File{},
		Debian:   "bookworm",
		Packages: []manifest.Package{{Name: "busybox-static", Version: "1:1.35.0-4+b1", Source: "busybox", SourceVersion: "1:1.35.0-4"}},
	}
	for _, name := range append([]string{manifest.Kernel, manifest.Initramfs, manifest.Root}, manifest.Beside()...) {
		sum := sha256.Sum256([]byte(name))
		m.Files[name] = manifest.File{Bytes: int64(len(name)), SHA256: hex.EncodeToString(sum[:])}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
			return m, err
		}
	}
	content, err := json.Marshal(m)
	if err != nil {
		return m, err
	}
	return m, os.WriteFile(filepath.Join(dir, manifest.Name), content, 0o600)
}
