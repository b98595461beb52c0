package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/skiff-dev/skiff/images/oci"
	"github.com/skiff-dev/skiff/internal/atomicfile"
)

// unneeded are packages that are left out, with everything that only they depend on. They
// configure or start an installed system, which a container does not need. libllvm is for
// PostgreSQL's compiled queries.
var unneeded = regexp.MustCompile(`^(debconf.*|dpkg|perl.*|adduser|passwd|lsb-base|init-system-helpers|sysvinit-utils|ucf|ssl-cert|locales.*|` +
	`postgresql-common.*|postgresql-client-common|libllvm.*|sensible-utils|.*:.*)$`)

// skippedFiles are documentation and translations.
var skippedFiles = regexp.MustCompile(`^usr/share/(doc|man|locale|info|lintian|bash-completion)/`)

// debian returns a layer with Debian packages, their dependencies, and more files. It is
// kept in the cache.
func debian(cache string, packages []string, more []oci.File) ([]byte, error) {
	sum := sha256.Sum256(fmt.Append(nil, packages, unneeded, skippedFiles))
	kept := filepath.Join(cache, fmt.Sprintf("debian-%s-%s.tar", runtime.GOARCH, hex.EncodeToString(sum[:6])))
	if layer, err := os.ReadFile(kept); err == nil {
		return layer, nil
	}
	all, err := closure(packages, dependencies)
	if err != nil {
		return nil, err
	}
	archives, err := download(cache, all...)
	if err != nil {
		return nil, err
	}
	root := tree{}
	for _, archive := range archives {
		if err := root.unpack(archive); err != nil {
			return nil, err
		}
	}
	for _, file := range more {
		root[file.Path] = file
	}
	layer, err := oci.Layer(slices.Collect(maps.Values(root)))
	if err != nil {
		return nil, err
	}
	return layer, atomicfile.Write(kept, layer, 0o644)
}

// download returns the files of Debian packages, one tar per package, sorted by the
// packages' file names.
func download(cache string, packages ...string) ([][]byte, error) {
	dir, err := os.MkdirTemp(cache, "deb-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if _, err := output(dir, nil, "apt-get", append([]string{"-q", "download"}, packages...)...); err != nil {
		return nil, err
	}
	found, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil {
		return nil, err
	}
	if len(found) != len(packages) {
		return nil, fmt.Errorf("apt-get downloaded %q, want %q", found, packages)
	}
	var archives [][]byte
	for _, file := range found {
		archive, err := output("", nil, "dpkg-deb", "--fsys-tarfile", file)
		if err != nil {
			return nil, err
		}
		archives = append(archives, archive)
	}
	return archives, nil
}

// closure returns packages and their dependencies, sorted.
func closure(packages []string, depends func([]string) ([]string, error)) ([]string, error) {
	found := map[string]bool{}
	for next := packages; len(next) > 0; {
		for _, name := range next {
			found[name] = true
		}
		names, err := depends(next)
		if err != nil {
			return nil, err
		}
		next = nil
		for _, name := range names {
			if !found[name] && !unneeded.MatchString(name) && !slices.Contains(next, name) {
				next = append(next, name)
			}
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// dependencies returns the direct dependencies of packages, without virtual packages.
func dependencies(packages []string) ([]string, error) {
	args := append([]string{"depends", "--no-recommends", "--no-suggests", "--no-conflicts", "--no-breaks", "--no-replaces", "--no-enhances"}, packages...)
	out, err := output("", nil, "apt-cache", args...)
	if err != nil {
		return nil, err
	}
	var names []string
	for line := range strings.Lines(string(out)) {
		if _, name, ok := strings.Cut(strings.TrimSpace(line), "Depends: "); ok && !strings.HasPrefix(name, "<") {
			names = append(names, name)
		}
	}
	return names, nil
}

// tree is a root file system, by path.
type tree map[string]oci.File

// unpack adds the files of a package. The directories that Debian has merged into /usr
// are links there.
func (t tree) unpack(files []byte) error {
	for r := tar.NewReader(bytes.NewReader(files)); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := merged(header.Name)
		if name == "." || skippedFiles.MatchString(name+"/") {
			continue
		}
		file := oci.File{Path: name, Mode: header.Mode & 0o7777}
		switch header.Typeflag {
		case tar.TypeDir:
			file.Dir = true
		case tar.TypeSymlink:
			file.Link = header.Linkname
		case tar.TypeLink:
			file.Data = t[merged(header.Linkname)].Data
		case tar.TypeReg:
			if file.Data, err = io.ReadAll(r); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%s has the type %q", header.Name, header.Typeflag)
		}
		t[name] = file
	}
}

// merged returns the path of an entry, moved to /usr if it is in /bin, /lib, /lib64 or
// /sbin.
func merged(name string) string {
	name = path.Clean(name)
	first, _, _ := strings.Cut(name, "/")
	switch first {
	case "bin", "lib", "lib64", "sbin":
		return "usr/" + name
	}
	return name
}

// mergedRoot returns the files that a root file system needs besides those of packages:
// a shell, and the users root and service, which has the ID 999.
func mergedRoot(busybox []byte) []oci.File {
	files := []oci.File{
		{Path: "usr/bin/busybox", Mode: 0o755, Data: busybox},
		{Path: "etc/passwd", Mode: 0o644, Data: []byte("root:x:0:0:root:/root:/bin/sh\nservice:x:999:999:service:/tmp:/bin/sh\n")},
		{Path: "etc/group", Mode: 0o644, Data: []byte("root:x:0:\nservice:x:999:\n")},
		{Path: "etc/nsswitch.conf", Mode: 0o644, Data: []byte("hosts: files dns\n")},
		{Path: "tmp", Mode: 0o1777, Dir: true},
		{Path: "root", Mode: 0o700, Dir: true},
	}
	for _, dir := range []string{"dev", "proc", "run", "sys", "usr", "usr/bin", "usr/lib", "usr/lib64", "usr/sbin", "var"} {
		files = append(files, oci.File{Path: dir, Mode: 0o755, Dir: true})
	}
	for _, dir := range []string{"bin", "lib", "lib64", "sbin"} {
		files = append(files, oci.File{Path: dir, Link: "usr/" + dir})
	}
	for _, applet := range []string{"cat", "env", "id", "ls", "mkdir", "ps", "sh", "sleep"} {
		files = append(files, oci.File{Path: "usr/bin/" + applet, Link: "busybox"})
	}
	return files
}
