package main

import (
	"archive/tar"
	"bytes"
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/skiff-dev/skiff/images/assembly"
	"github.com/skiff-dev/skiff/images/manifest"
	"github.com/skiff-dev/skiff/images/sbom"
	"github.com/skiff-dev/skiff/internal/atomicfile"
)

// packer writes the files of one platform. The same inputs give the same files.
type packer struct {
	sources
	name name
	// nfpm is the program that writes Debian packages.
	nfpm string
	// out is the directory of the release.
	out string
	// time is the modification time of every file.
	time time.Time
	log  io.Writer
}

func (p packer) run(ctx context.Context) error {
	bill, err := p.describe()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(p.out, 0o755); err != nil {
		return err
	}
	base := filepath.Join(p.out, p.name.base())
	p.bill = base + ".cdx.json"
	if err := atomicfile.Write(p.bill, bill, 0o644); err != nil {
		return err
	}
	entries, err := layout(p.sources)
	if err != nil {
		return err
	}
	if err := p.archive(ctx, base+".tar.gz", entries); err != nil {
		return fmt.Errorf("write the archive: %w", err)
	}
	fmt.Fprintln(p.log, base+".tar.gz")
	if err := p.others(ctx, base); err != nil {
		return err
	}
	if p.name.OS != "linux" {
		return nil
	}
	if err := p.deb(ctx, base+".deb", entries); err != nil {
		return fmt.Errorf("write the Debian package: %w", err)
	}
	fmt.Fprintln(p.log, base+".deb")
	return nil
}

// others writes an archive for each node image of another version of Kubernetes.
func (p packer) others(ctx context.Context, base string) error {
	images, err := otherImages(p.image)
	if err != nil {
		return err
	}
	for _, version := range slices.Sorted(maps.Keys(images)) {
		m, err := manifest.Read(filepath.Join(p.image, version))
		if err != nil {
			return err
		}
		if m.Arch != p.name.Arch || m.Minor() != version {
			return fmt.Errorf("%s is a node image of Kubernetes %s for %s", filepath.Join(p.image, version), m.Kubernetes, m.Arch)
		}
		file := base + "_kubernetes-" + version + ".tar.gz"
		if err := p.archive(ctx, file, images[version]); err != nil {
			return fmt.Errorf("write the archive: %w", err)
		}
		fmt.Fprintln(p.log, file)
	}
	return nil
}

// describe checks that program and image belong together, and returns their bill of
// materials.
func (p packer) describe() ([]byte, error) {
	build, err := buildinfo.ReadFile(p.program)
	if err != nil {
		return nil, err
	}
	set := map[string]string{}
	for _, s := range build.Settings {
		set[s.Key] = s.Value
	}
	if got := set["GOOS"] + "/" + set["GOARCH"]; got != p.name.platform() {
		return nil, fmt.Errorf("%s is a program for %s, want %s", p.program, got, p.name.platform())
	}
	image, err := manifest.Read(p.image)
	if err != nil {
		return nil, err
	}
	if image.Arch != p.name.Arch {
		return nil, fmt.Errorf("%s is a node image for %s, want %s", p.image, image.Arch, p.name.Arch)
	}
	program, err := assembly.Describe(p.program, "bin/skiff")
	if err != nil {
		return nil, err
	}
	var bill bytes.Buffer
	err = sbom.WriteRelease(&bill, sbom.Release{Version: p.name.Version, Platform: p.name.platform(), Program: program, Image: image})
	return bill.Bytes(), err
}

// archive writes a compressed tar with one directory at the top.
func (p packer) archive(ctx context.Context, to string, entries []entry) error {
	file, err := atomicfile.Create(to, 0o644)
	if err != nil {
		return err
	}
	defer file.Discard()
	compressed := gzip.NewWriter(file)
	archive := tar.NewWriter(compressed)
	made := map[string]bool{}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := p.add(archive, e, made); err != nil {
			return fmt.Errorf("%s: %w", e.path, err)
		}
	}
	if err := errors.Join(archive.Close(), compressed.Close()); err != nil {
		return err
	}
	return file.Commit()
}

// add adds a file, and before it the directories above it that made lacks.
func (p packer) add(archive *tar.Writer, e entry, made map[string]bool) (err error) {
	full := path.Join(p.name.base(), e.path)
	for i, r := range full {
		if dir := full[:i]; r == '/' && !made[dir] {
			made[dir] = true
			if err := archive.WriteHeader(p.header(dir+"/", tar.TypeDir, 0o755, 0)); err != nil {
				return err
			}
		}
	}
	source, err := os.Open(e.source)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	info, err := source.Stat()
	if err != nil {
		return err
	}
	if err := archive.WriteHeader(p.header(full, tar.TypeReg, e.mode(), info.Size())); err != nil {
		return err
	}
	_, err = io.Copy(archive, source)
	return err
}

func (p packer) header(name string, kind byte, mode os.FileMode, size int64) *tar.Header {
	return &tar.Header{
		Name: name, Typeflag: kind, Mode: int64(mode), Size: size, ModTime: p.time,
		Uname: "root", Gname: "root", Format: tar.FormatUSTAR,
	}
}
