package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/skiff-dev/skiff/images/oci"
)

// descriptor is a reference to a blob.
type descriptor struct {
	Digest      string            `json:"digest"`
	Annotations map[string]string `json:"annotations"`
}

// fillRegistry writes the images of a list below dir in the layout that agnhost's
// fake-registry-server expects: IMAGE/manifests/TAG contains the digest of a
// manifest; manifests and blobs are in sha256/FIRST-TWO-DIGITS/DIGITS/data below
// IMAGE/manifests and IMAGE/blobs. IMAGE is the last part of the image's name.
func fillRegistry(dir, list, layers string) error {
	images, err := readImages(list, layers)
	if err != nil {
		return err
	}
	var packed bytes.Buffer
	if err := oci.Write(&packed, images...); err != nil {
		return err
	}
	files, err := unpack(&packed)
	if err != nil {
		return err
	}
	var index struct {
		Manifests []descriptor `json:"manifests"`
	}
	if err := json.Unmarshal(files["index.json"], &index); err != nil {
		return err
	}
	for _, m := range index.Manifests {
		name, tag, _ := strings.Cut(path.Base(m.Annotations["io.containerd.image.name"]), ":")
		if err := fillRepository(filepath.Join(dir, name), tag, m.Digest, files); err != nil {
			return fmt.Errorf("%s:%s: %w", name, tag, err)
		}
	}
	return nil
}

// fillRepository writes the image whose manifest has the given digest.
func fillRepository(dir, tag, digest string, files map[string][]byte) error {
	var manifest struct {
		Config descriptor   `json:"config"`
		Layers []descriptor `json:"layers"`
	}
	if err := json.Unmarshal(files[blobName(digest)], &manifest); err != nil {
		return err
	}
	manifests, blobs := filepath.Join(dir, "manifests"), filepath.Join(dir, "blobs")
	errs := []error{
		writeFile(filepath.Join(manifests, tag), []byte(digest)),
		writeFile(stored(manifests, digest), files[blobName(digest)]),
	}
	for _, d := range append(manifest.Layers, manifest.Config) {
		errs = append(errs, writeFile(stored(blobs, d.Digest), files[blobName(d.Digest)]))
	}
	return errors.Join(errs...)
}

// blobName returns the path of a blob in an OCI archive, stored its path in a
// registry's directory.
func blobName(digest string) string { return "blobs/" + strings.Replace(digest, ":", "/", 1) }

func stored(dir, digest string) string {
	algorithm, digits, _ := strings.Cut(digest, ":")
	return filepath.Join(dir, algorithm, digits[:2], digits, "data")
}

func writeFile(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o644)
}

// unpack returns the files of a tar by name.
func unpack(r io.Reader) (map[string][]byte, error) {
	files := map[string][]byte{}
	for in := tar.NewReader(r); ; {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		if files[header.Name], err = io.ReadAll(in); err != nil {
			return nil, err
		}
	}
}
