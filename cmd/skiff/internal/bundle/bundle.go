// Package bundle collects files from sources that may fail into a directory and an
// archive. A failure is recorded in the bundle and does not keep the rest out of
// it. Bundles are bounded, and nothing in them leads out of the directory.
package bundle

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Files of the bundle itself.
const (
	errorsFile   = "errors.txt"   // what could not be collected
	contentsFile = "contents.txt" // the size and name of every file
)

// Limits bound what is written, in bytes.
type Limits struct{ File, Bundle int64 }

// DefaultLimits are enough for the logs of a cluster with many nodes, and small
// enough for an artifact of a CI system.
func DefaultLimits() Limits { return Limits{File: 64 << 20, Bundle: 1 << 30} }

// Bundle is a directory that is being filled. Its methods may be called
// concurrently.
type Bundle struct {
	dir    string
	root   *os.Root
	limits Limits

	mu     sync.Mutex // guards the following
	failed []string
	left   int64 // bytes that may still be written
}

// New creates the directory, which must not exist or be empty: the files of two
// bundles never mix. Nor must DIR.tar.gz exist. Files have mode 0600.
func New(dir string, limits Limits) (*Bundle, error) {
	if _, err := os.Lstat(archiveName(dir)); err == nil {
		return nil, fmt.Errorf("%s already exists", archiveName(dir))
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	if len(entries) > 0 {
		return nil, fmt.Errorf("%s is not empty", dir)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &Bundle{dir: dir, root: root, limits: limits, left: limits.Bundle}, nil
}

func archiveName(dir string) string { return filepath.Clean(dir) + ".tar.gz" }

// Add writes the file name, a slash-separated path within the bundle. What fill
// wrote before it failed is kept; an empty file is not.
func (b *Bundle) Add(name string, fill func(io.Writer) error) {
	if err := b.add(name, fill); err != nil {
		b.Fail(name, err)
	}
}

// Fail records that something could not be collected.
func (b *Bundle) Fail(what string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failed = append(b.failed, what+": "+strings.Join(strings.Fields(err.Error()), " "))
}

func (b *Bundle) add(name string, fill func(io.Writer) error) (err error) {
	if !filepath.IsLocal(name) {
		return errors.New("the name points outside the bundle")
	}
	path := filepath.FromSlash(name)
	if err := b.root.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := b.root.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	out := &bounded{bundle: b, to: file, left: b.limits.File}
	filled := fill(out)
	if out.full != nil {
		filled = out.full
	}
	info, err := file.Stat()
	err = errors.Join(filled, err, file.Close())
	if info != nil && info.Size() == 0 {
		err = errors.Join(err, b.root.Remove(path))
	}
	return err
}

// bounded writes to a file within the limits of its bundle.
type bounded struct {
	bundle *Bundle
	to     io.Writer
	left   int64
	full   error
}

func (w *bounded) Write(p []byte) (int, error) {
	if w.full != nil {
		return 0, w.full
	}
	b := w.bundle
	b.mu.Lock()
	n := min(int64(len(p)), w.left, b.left)
	b.left -= n
	w.left -= n
	total := b.left == 0
	b.mu.Unlock()
	written, err := w.to.Write(p[:n])
	if err == nil && n < int64(len(p)) {
		w.full = fmt.Errorf("cut off at %d MiB", b.limits.File>>20)
		if total {
			w.full = fmt.Errorf("cut off: the export is limited to %d MiB", b.limits.Bundle>>20)
		}
		err = w.full
	}
	return written, err
}

// Finish records what failed and lists all files, in order, and packs the directory
// into an archive beside it, DIR.tar.gz. It returns the archive's path and the
// number of failures.
func (b *Bundle) Finish() (archive string, failed int, err error) {
	defer func() { err = errors.Join(err, b.root.Close()) }()
	b.mu.Lock()
	lines := slices.Sorted(slices.Values(b.failed))
	b.mu.Unlock()
	if len(lines) > 0 {
		if err := b.root.WriteFile(errorsFile, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			return "", 0, err
		}
	}
	var contents strings.Builder
	err = b.walk(func(name string, info fs.FileInfo) error {
		fmt.Fprintf(&contents, "%12d %s\n", info.Size(), name)
		return nil
	})
	if err == nil {
		err = b.root.WriteFile(contentsFile, []byte(contents.String()), 0o600)
	}
	if err != nil {
		return "", 0, err
	}
	return archiveName(b.dir), len(lines), b.pack()
}

// walk calls each for the regular files of the bundle, in order.
func (b *Bundle) walk(each func(name string, info fs.FileInfo) error) error {
	return fs.WalkDir(b.root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		return each(name, info)
	})
}

func (b *Bundle) pack() (err error) {
	file, err := os.OpenFile(archiveName(b.dir), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	zipped := gzip.NewWriter(file)
	defer func() { err = errors.Join(err, zipped.Close()) }()
	out := tar.NewWriter(zipped)
	defer func() { err = errors.Join(err, out.Close()) }()
	return b.walk(func(name string, info fs.FileInfo) error {
		from, err := b.root.Open(name)
		if err != nil {
			return err
		}
		defer from.Close()
		header := &tar.Header{
			Name: filepath.Base(filepath.Clean(b.dir)) + "/" + name, Mode: 0o600, Size: info.Size(), ModTime: info.ModTime(),
		}
		if err := out.WriteHeader(header); err != nil {
			return err
		}
		_, err = io.CopyN(out, from, info.Size())
		return err
	})
}
