package buildkit

import (
	"io"
	"os"
	"path/filepath"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/images/manifest"
	"github.com/skiff-dev/skiff/vm/node"
)

// Program describes the builder's program in the directory of the node image.
func Program(dir string) (node.Program, error) {
	m, err := manifest.Read(dir)
	if err != nil {
		return node.Program{}, err
	}
	file, ok := m.Files[manifest.Builder]
	path := filepath.Join(dir, manifest.Builder)
	if _, err := os.Stat(path); !ok || err != nil {
		return node.Program{}, cli.Invalid("install skiff again, or run `make build` in a checkout", "the node image in %s has no builder", dir)
	}
	return node.Program{SHA256: file.SHA256, Bytes: file.Bytes, Open: func() (io.ReadCloser, error) { return os.Open(path) }}, nil
}
