// Package build knows the versions of this program and of the node image beside
// it.
package build

import (
	"errors"
	"runtime"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/vm/image"
)

// Set by the linker; see the Makefile.
var (
	version    = "dev"
	commit     = ""
	kubernetes = ""
)

// Version returns the version of this program.
func Version() string { return version }

// Info is what `skiff version -o json` prints.
type Info struct {
	Client     string `json:"client"`
	Commit     string `json:"commit,omitempty"`
	Go         string `json:"go"`
	Platform   string `json:"platform"`
	Kubernetes string `json:"kubernetes"`
	// Image is nil without a node image.
	Image *Image `json:"image"`
}

// Image describes the node image.
type Image struct {
	Digest     string `json:"digest"`
	Arch       string `json:"arch"`
	Kubernetes string `json:"kubernetes"`
}

// Read returns the versions of the program and of the node image, if there is
// one.
func Read() (Info, error) {
	v := Info{
		Client: version, Commit: commit, Kubernetes: kubernetes,
		Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	dir, err := target.ImageDir()
	if err != nil {
		return v, err
	}
	node, err := image.Read(dir)
	switch {
	case errors.Is(err, image.ErrNotFound):
	case err != nil:
		return v, err
	default:
		v.Image = &Image{Digest: node.Digest, Arch: node.Arch, Kubernetes: node.Kubernetes}
		if v.Kubernetes == "" {
			v.Kubernetes = node.Kubernetes
		}
	}
	return v, nil
}
