// Package podimage makes images for the pods of benchmarks. Their program is the
// benchmark itself, which an argument turns into what the pod needs.
package podimage

import (
	"errors"
	"os"
	"runtime"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/skiff-dev/skiff/images/oci"
)

// Program is where Layer has the program.
const Program = "/program"

// Layer returns a layer with the running program.
func Layer() ([]byte, error) {
	own, err := os.Executable()
	if err != nil {
		return nil, err
	}
	program, err := os.ReadFile(own)
	if err != nil {
		return nil, err
	}
	return oci.Layer([]oci.File{{Path: Program[1:], Mode: 0o755, Data: program}})
}

// Write writes an archive of an image with one layer to path.
func Write(path, name string, layer []byte, command ...string) (err error) {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return oci.Write(file, oci.Image{
		Name: name, Arch: runtime.GOARCH, Layers: [][]byte{layer}, Config: v1.ImageConfig{Cmd: command},
	})
}
