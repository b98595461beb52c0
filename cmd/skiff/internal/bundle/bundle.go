// Package bundle collects files from sources that may fail: what failed is
// written down in the bundle itself, and never keeps the rest out of it.
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

// errorsFile lists in the bundle what could not be had.
const errorsFile = "errors.txt"

// Bundle is a directory that is being filled; its methods may be called at once.
type Bundle struct {
	dir string

	mu     sync.Mutex // guards failed
	failed []string
}

// New makes the directory, which must not exist or be empty: the files of two
// bundles never mix. Files have mode 0600.
func New(dir string) (*Bundle, error) {
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
	return &Bundle{dir: dir}, nil
}

// Add writes the file name, a slash-separated path within the bundle. What fill
// wrote before it failed is kept; a file without content is not.
func (b *Bundle) Add(name string, fill func(io.Writer) error) {
	if err := b.add(name, fill); err != nil {
		b.Fail(name, err)
	}
}

// Fail writes down that something cannot be had.
func (b *Bundle) Fail(what string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failed = append(b.failed, what+": "+strings.Join(strings.Fields(err.Error()), " "))
}

func (b *Bundle) add(name string, fill func(io.Writer) error) (err error) {
	if !filepath.IsLocal(name) {
		return errors.New("the name points outside the bundle")
	}
	path := filepath.Join(b.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	filled := fill(file)
	info, err := file.Stat()
	err = errors.Join(filled, err, file.Close())
	if info != nil && info.Size() == 0 {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

// Finish writes what failed, in order, and packs the directory into one archive
// beside it, DIR.tar.gz. It returns the archive's path and how much failed.
func (b *Bundle) Finish() (archive string, failed int, err error) {
	b.mu.Lock()
	lines := slices.Sorted(slices.Values(b.failed))
	b.mu.Unlock()
	if len(lines) > 0 {
		text := strings.Join(lines, "\n") + "\n"
		if err := os.WriteFile(filepath.Join(b.dir, errorsFile), []byte(text), 0o600); err != nil {
			return "", 0, err
		}
	}
	archive = filepath.Clean(b.dir) + ".tar.gz"
	return archive, len(lines), pack(archive, b.dir)
}

func pack(archive, dir string) (err error) {
	file, err := os.OpenFile(archive, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	zipped := gzip.NewWriter(file)
	defer func() { err = errors.Join(err, zipped.Close()) }()
	out := tar.NewWriter(zipped)
	defer func() { err = errors.Join(err, out.Close()) }()
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(filepath.Dir(dir), path)
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		header := &tar.Header{Name: filepath.ToSlash(name), Mode: 0o600, Size: int64(len(content)), ModTime: info.ModTime()}
		if err := out.WriteHeader(header); err != nil {
			return err
		}
		_, err = out.Write(content)
		return err
	})
}
