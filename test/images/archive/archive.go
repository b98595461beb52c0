// Package archive writes container images as OCI archives, without a registry
// and without a container engine. The same input always gives the same bytes.
//
// The layout is that of the OCI image specification v1.1
// (https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md)
// in an uncompressed tar; layers are uncompressed too, since the machines that
// unpack them are emulated.
package archive

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"sort"
	"time"
)

const (
	typeIndex    = "application/vnd.oci.image.index.v1+json"
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeConfig   = "application/vnd.oci.image.config.v1+json"
	typeLayer    = "application/vnd.oci.image.layer.v1.tar"
)

// epoch is the time of everything, so that bytes depend on content alone.
var epoch = time.Unix(1_700_000_000, 0).UTC()

// File is one entry of a layer.
type File struct {
	// Path is relative to the root, without a leading slash.
	Path string
	// Mode holds the permission bits; a directory is told by Dir.
	Mode int64
	Dir  bool
	// Link makes a symbolic link to it, whatever Data says.
	Link string
	Data []byte
}

// Image is one image of an archive.
type Image struct {
	// Name is the full reference, as a pod would name it.
	Name string
	// Arch is Go's name of the architecture.
	Arch string
	// Config is the part of the image that a container starts from.
	Config Config
	Layers [][]byte
}

// Config is the execution part of an image.
type Config struct {
	Env        []string `json:"Env,omitempty"`
	Entrypoint []string `json:"Entrypoint,omitempty"`
	Cmd        []string `json:"Cmd,omitempty"`
	WorkingDir string   `json:"WorkingDir,omitempty"`
	User       string   `json:"User,omitempty"`
	StopSignal string   `json:"StopSignal,omitempty"`
	// ExposedPorts are the keys, "80/tcp"; the values are empty.
	ExposedPorts map[string]struct{} `json:"ExposedPorts,omitempty"`
}

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Platform    *platform         `json:"platform,omitempty"`
}

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
}

// Layer packs files into a layer, sorted by path and owned by root.
func Layer(files []File) ([]byte, error) {
	sorted := append([]File(nil), files...)
	sort.Slice(sorted, func(i, j int) bool { return sorted[i].Path < sorted[j].Path })
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, file := range sorted {
		header := &tar.Header{Name: file.Path, Mode: file.Mode, ModTime: epoch, Format: tar.FormatPAX}
		switch {
		case file.Dir:
			header.Typeflag, header.Name = tar.TypeDir, file.Path+"/"
		case file.Link != "":
			header.Typeflag, header.Linkname, header.Mode = tar.TypeSymlink, file.Link, 0o777
		default:
			header.Typeflag, header.Size = tar.TypeReg, int64(len(file.Data))
		}
		if err := w.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("layer entry %s: %w", file.Path, err)
		}
		if header.Typeflag == tar.TypeReg {
			if _, err := w.Write(file.Data); err != nil {
				return nil, fmt.Errorf("layer entry %s: %w", file.Path, err)
			}
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("layer: %w", err)
	}
	return out.Bytes(), nil
}

// Write writes images as one archive. Layers that images share are in it once.
func Write(out io.Writer, images ...Image) error {
	blobs := map[string][]byte{}
	put := func(mediaType string, data []byte) descriptor {
		sum := sha256.Sum256(data)
		name := hex.EncodeToString(sum[:])
		blobs[name] = data
		return descriptor{MediaType: mediaType, Digest: "sha256:" + name, Size: int64(len(data))}
	}
	index := map[string]any{"schemaVersion": 2, "mediaType": typeIndex}
	var manifests []descriptor
	for _, image := range images {
		manifest, err := putImage(put, image)
		if err != nil {
			return fmt.Errorf("image %s: %w", image.Name, err)
		}
		manifests = append(manifests, manifest)
	}
	index["manifests"] = manifests
	indexJSON, err := json.Marshal(index)
	if err != nil {
		return fmt.Errorf("index: %w", err)
	}
	return writeTar(out, indexJSON, blobs)
}

// putImage puts an image's layers, config and manifest, and describes the manifest.
func putImage(put func(string, []byte) descriptor, image Image) (descriptor, error) {
	var layers []descriptor
	var diffs []string
	for _, layer := range image.Layers {
		d := put(typeLayer, layer)
		layers, diffs = append(layers, d), append(diffs, d.Digest)
	}
	config, err := json.Marshal(map[string]any{
		"architecture": image.Arch, "os": "linux", "created": epoch.Format(time.RFC3339),
		"config": image.Config,
		"rootfs": map[string]any{"type": "layers", "diff_ids": diffs},
	})
	if err != nil {
		return descriptor{}, err
	}
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": typeManifest,
		"config": put(typeConfig, config), "layers": layers,
	})
	if err != nil {
		return descriptor{}, err
	}
	d := put(typeManifest, manifest)
	d.Platform = &platform{Architecture: image.Arch, OS: "linux"}
	// containerd reads the first name, other engines the second.
	d.Annotations = map[string]string{
		"io.containerd.image.name":          image.Name,
		"org.opencontainers.image.ref.name": image.Name,
	}
	return d, nil
}

func writeTar(out io.Writer, index []byte, blobs map[string][]byte) error {
	w := tar.NewWriter(out)
	add := func(name string, data []byte) error {
		header := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(data)), ModTime: epoch, Format: tar.FormatUSTAR}
		if err := w.WriteHeader(header); err != nil {
			return fmt.Errorf("archive entry %s: %w", name, err)
		}
		if _, err := w.Write(data); err != nil {
			return fmt.Errorf("archive entry %s: %w", name, err)
		}
		return nil
	}
	if err := add("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)); err != nil {
		return err
	}
	if err := add("index.json", index); err != nil {
		return err
	}
	names := make([]string, 0, len(blobs))
	for name := range blobs {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if err := add("blobs/sha256/"+name, blobs[name]); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	return nil
}
