// Package atomicfile writes files and directory trees that survive a crash of
// the program or of the host: a reader sees the old content or the new content,
// never a part of it, and what was written is on disk when the call returns.
package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// marker is part of the name of every temporary file and directory: that of
// "config" is ".config.tmp-" and a random number.
const marker = ".tmp-"

// attempts bounds how often a temporary file is created again because another
// process took it for a leftover before it was locked.
const attempts = 10

// Write replaces the file at path. It also removes what crashed writers of the
// same file left behind.
func Write(path string, content []byte, mode fs.FileMode) error {
	f, err := Create(path, mode)
	if err != nil {
		return err
	}
	defer f.Discard()
	if _, err := f.Write(content); err != nil {
		return err
	}
	return f.Commit()
}

// File is a new content for the file at its path. It is visible there only
// after Commit.
type File struct {
	*os.File
	path string
	mode fs.FileMode
	done bool
}

// Create returns a temporary file beside path. The caller must call Commit or
// Discard; calling Discard after Commit does nothing.
func Create(path string, mode fs.FileMode) (*File, error) {
	if err := RemoveLeftovers(path); err != nil {
		return nil, err
	}
	dir, prefix := split(path)
	f, err := locked(func() (string, error) {
		f, err := os.CreateTemp(dir, prefix+"*")
		if err != nil {
			return "", err
		}
		return f.Name(), f.Close()
	}, os.O_RDWR)
	if err != nil {
		return nil, err
	}
	return &File{File: f, path: path, mode: mode}, nil
}

// Commit puts the file at its path, with its mode, and returns once both the
// content and the name are on disk. If it fails, the old file is still there.
func (f *File) Commit() error {
	if f.done {
		return fmt.Errorf("write %s: %w", f.path, os.ErrClosed)
	}
	f.done = true
	err := install(f.File, f.path, f.mode)
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// Discard removes the temporary file of a write that was not committed.
func (f *File) Discard() {
	if f.done {
		return
	}
	f.done = true
	_ = f.Close()
	_ = os.Remove(f.Name())
}

// Install does what Commit does for a file that another program wrote: it
// renames temporary, which must be in the same file system, to path.
func Install(temporary, path string, mode fs.FileMode) error {
	f, err := os.OpenFile(temporary, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(install(f, path, mode), f.Close())
}

func install(f *os.File, path string, mode fs.FileMode) error {
	if err := f.Chmod(mode); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// WriteTree creates the directory dir with files, whose names are
// slash-separated paths below it: files have mode 0600, directories 0700. It
// creates missing parents of dir. The directory appears complete or not at all. It fails with fs.ErrExist if dir
// exists and is not empty.
func WriteTree(dir string, files map[string][]byte) (err error) {
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return err
	}
	if err := RemoveLeftovers(dir); err != nil {
		return err
	}
	parent, prefix := split(dir)
	lock, err := locked(func() (string, error) { return os.MkdirTemp(parent, prefix+"*") }, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, lock.Close()); err != nil {
			err = errors.Join(err, os.RemoveAll(lock.Name()))
		}
	}()
	if err := fill(lock.Name(), files); err != nil {
		return err
	}
	if err := os.Rename(lock.Name(), dir); err != nil {
		return err
	}
	return SyncDir(parent)
}

// fill writes files below dir and flushes them and their directories.
func fill(dir string, files map[string][]byte) error {
	folders := map[string]bool{dir: true}
	for name, content := range files {
		local, err := filepath.Localize(name)
		if err != nil {
			return fmt.Errorf("write %s below %s: %w", name, dir, err)
		}
		path := filepath.Join(dir, local)
		for folder := filepath.Dir(path); folder != dir; folder = filepath.Dir(folder) {
			folders[folder] = true
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := writeSync(path, content); err != nil {
			return err
		}
	}
	for folder := range folders {
		if err := SyncDir(folder); err != nil {
			return err
		}
	}
	return nil
}

func writeSync(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}

// SyncDir flushes the names in a directory. File systems that cannot do this
// report EINVAL or ENOTSUP, which is not an error: there is nothing to flush.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP) {
		err = nil
	}
	return errors.Join(err, d.Close())
}

// RemoveLeftovers removes the temporary files and directories that crashed
// writers of path left beside it. Those of writers that are still running are
// locked and kept.
func RemoveLeftovers(path string) error {
	dir, prefix := split(path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), prefix) {
			continue
		}
		if err := removeIfUnlocked(filepath.Join(dir, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

func removeIfUnlocked(path string) error {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove a leftover: %w", err)
	}
	defer f.Close()
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return nil
	}
	return os.RemoveAll(path)
}

// locked opens what create made and locks it, so that RemoveLeftovers of other
// processes keeps it. The kernel releases the lock when this process ends.
func locked(create func() (string, error), flag int) (*os.File, error) {
	for range attempts {
		name, err := create()
		if err != nil {
			return nil, err
		}
		f, err := os.OpenFile(name, flag, 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, errors.Join(err, os.RemoveAll(name))
		}
		// Without flock(2) on this file system RemoveLeftovers removes nothing.
		_ = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if samePath(f, name) {
			return f, nil
		}
		_ = f.Close()
	}
	return nil, errors.New("another process keeps removing temporary files")
}

// samePath reports whether f is still the file at path.
func samePath(f *os.File, path string) bool {
	opened, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Lstat(path)
	return err == nil && os.SameFile(opened, named)
}

// split returns the directory of path and how the names of its temporary files
// begin.
func split(path string) (dir, prefix string) {
	path = filepath.Clean(path)
	return filepath.Dir(path), "." + filepath.Base(path) + marker
}
