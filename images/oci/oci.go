// Package oci writes container images as OCI archives, without a registry and
// without a container engine. The same input always gives the same bytes.
//
// The layout is that of the OCI image specification in an uncompressed tar.
// Layers are uncompressed too, since the machines that unpack them may be
// emulated.
package oci

import (
	"archive/tar"
	"bytes"
	"cmp"
	_ "crypto/sha256" // registers the hash for go-digest
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// NameAnnotation is where containerd looks for an image's full reference; other
// engines read v1.AnnotationRefName.
const NameAnnotation = "io.containerd.image.name"

// epoch is the time of everything, so that bytes depend on content only.
var epoch = time.Unix(1_700_000_000, 0).UTC()

// File is one entry of a layer.
type File struct {
	// Path is relative to the root, without a leading slash.
	Path string
	// Mode holds the permission bits as in tar(5).
	Mode int64
	// Dir makes a directory, Link a symbolic link with that target; otherwise
	// the entry is a regular file with Data.
	Dir  bool
	Link string
	Data []byte
}

// Image is one image of an archive.
type Image struct {
	// Name is the full reference, as a pod would use it.
	Name string
	// Arch is Go's name of the architecture.
	Arch string
	// Config is what a container starts from.
	Config v1.ImageConfig
	// Layers are tars, the lowest first.
	Layers [][]byte
}

// Layer packs files into a layer, sorted by path and owned by root.
func Layer(files []File) ([]byte, error) {
	files = slices.SortedFunc(slices.Values(files), func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, file := range files {
		if err := addFile(w, file); err != nil {
			return nil, fmt.Errorf("layer entry %s: %w", file.Path, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("layer: %w", err)
	}
	return out.Bytes(), nil
}

func addFile(w *tar.Writer, file File) error {
	header := &tar.Header{Name: file.Path, Mode: file.Mode, ModTime: epoch, Format: tar.FormatPAX}
	switch {
	case file.Dir:
		header.Typeflag, header.Name = tar.TypeDir, file.Path+"/"
	case file.Link != "":
		header.Typeflag, header.Linkname, header.Mode = tar.TypeSymlink, file.Link, 0o777
	default:
		header.Typeflag, header.Size = tar.TypeReg, int64(len(file.Data))
	}
	if err := w.WriteHeader(header); err != nil || header.Typeflag != tar.TypeReg {
		return err
	}
	_, err := w.Write(file.Data)
	return err
}

// Write writes images as one archive. A layer that several images share is in it
// once. Images with the same name, which follow each other, become one for several
// architectures.
func Write(out io.Writer, images ...Image) error {
	blobs := map[digest.Digest][]byte{}
	index := v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageIndex}
	for _, image := range images {
		manifest, err := addImage(blobs, image)
		if err != nil {
			return fmt.Errorf("image %s: %w", image.Name, err)
		}
		index.Manifests = append(index.Manifests, manifest)
	}
	var err error
	if index.Manifests, err = merge(blobs, index.Manifests); err != nil {
		return err
	}
	if err := writeArchive(out, index, blobs); err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	return nil
}

// merge replaces neighbours with the same name by an index of them.
func merge(blobs map[digest.Digest][]byte, all []v1.Descriptor) ([]v1.Descriptor, error) {
	var merged []v1.Descriptor
	for len(all) > 0 {
		name := all[0].Annotations[NameAnnotation]
		n := slices.IndexFunc(all, func(d v1.Descriptor) bool { return d.Annotations[NameAnnotation] != name })
		if n < 0 {
			n = len(all)
		}
		one := all[0]
		if n > 1 {
			index := v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageIndex}
			for _, d := range all[:n] {
				d.Annotations = nil
				index.Manifests = append(index.Manifests, d)
			}
			d, err := addJSON(blobs, v1.MediaTypeImageIndex, index)
			if err != nil {
				return nil, err
			}
			d.Annotations = one.Annotations
			one = d
		}
		merged, all = append(merged, one), all[n:]
	}
	return merged, nil
}

// addImage adds an image's layers, configuration and manifest, and returns the
// manifest's descriptor.
func addImage(blobs map[digest.Digest][]byte, image Image) (v1.Descriptor, error) {
	manifest := v1.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest}
	config := v1.Image{
		Created: &epoch, Platform: v1.Platform{Architecture: image.Arch, OS: "linux"},
		Config: image.Config, RootFS: v1.RootFS{Type: "layers"},
	}
	for _, layer := range image.Layers {
		d := add(blobs, v1.MediaTypeImageLayer, layer)
		manifest.Layers, config.RootFS.DiffIDs = append(manifest.Layers, d), append(config.RootFS.DiffIDs, d.Digest)
	}
	var err error
	if manifest.Config, err = addJSON(blobs, v1.MediaTypeImageConfig, config); err != nil {
		return v1.Descriptor{}, err
	}
	d, err := addJSON(blobs, v1.MediaTypeImageManifest, manifest)
	d.Platform = &config.Platform
	d.Annotations = map[string]string{NameAnnotation: image.Name, v1.AnnotationRefName: image.Name}
	return d, err
}

func addJSON(blobs map[digest.Digest][]byte, mediaType string, value any) (v1.Descriptor, error) {
	content, err := json.Marshal(value)
	return add(blobs, mediaType, content), err
}

func add(blobs map[digest.Digest][]byte, mediaType string, content []byte) v1.Descriptor {
	id := digest.FromBytes(content)
	blobs[id] = content
	return v1.Descriptor{MediaType: mediaType, Digest: id, Size: int64(len(content))}
}

func writeArchive(out io.Writer, index v1.Index, blobs map[digest.Digest][]byte) error {
	layout, err := json.Marshal(v1.ImageLayout{Version: v1.ImageLayoutVersion})
	if err != nil {
		return err
	}
	list, err := json.Marshal(index)
	if err != nil {
		return err
	}
	w := tar.NewWriter(out)
	write := func(name string, content []byte) error {
		header := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(content)), ModTime: epoch, Format: tar.FormatUSTAR}
		if err := w.WriteHeader(header); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		_, err := w.Write(content)
		return err
	}
	if err := write(v1.ImageLayoutFile, layout); err != nil {
		return err
	}
	if err := write(v1.ImageIndexFile, list); err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(blobs)) {
		if err := write(BlobPath(id), blobs[id]); err != nil {
			return err
		}
	}
	return w.Close()
}

// BlobPath returns the path of a blob in an archive.
func BlobPath(id digest.Digest) string {
	return v1.ImageBlobsDir + "/" + id.Algorithm().String() + "/" + id.Encoded()
}
