// Package replica copies the files of a store to a temporary directory, so that reading
// what was recorded never changes it. Opening a store repairs and merges its files.
package replica

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// abandoned is the age at which a directory is removed that its process has left, because
// it was killed. One that is in use after that time keeps its open files.
const abandoned = 24 * time.Hour

// Dir creates a directory below temporary, whose name begins with prefix. The caller
// removes it; those that killed processes left are removed here.
func Dir(temporary, prefix string) (string, error) {
	removeAbandoned(temporary, prefix, time.Now())
	dir, err := os.MkdirTemp(temporary, prefix)
	if err != nil {
		return "", fmt.Errorf("create a directory for a copy: %w", err)
	}
	return dir, nil
}

// removeAbandoned removes the directories of processes that were killed.
func removeAbandoned(temporary, prefix string, now time.Time) {
	dirs, _ := filepath.Glob(filepath.Join(temporary, prefix+"*"))
	for _, dir := range dirs {
		if info, err := os.Stat(dir); err == nil && info.IsDir() && now.Sub(info.ModTime()) > abandoned {
			_ = os.RemoveAll(dir) // the next one tries again
		}
	}
}

// Copy copies the regular files below from to the same names below to. Files whose content
// never changes, which immutable reports by their names below from, are linked if both
// directories are on the same file system. Nothing may write to from meanwhile.
func Copy(from, to string, immutable func(name string) bool) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		at := filepath.Join(to, name)
		switch {
		case entry.IsDir():
			return os.MkdirAll(at, 0o700)
		case !entry.Type().IsRegular():
			return nil
		case immutable(name) && os.Link(path, at) == nil:
			return nil
		}
		return copyFile(path, at)
	})
}

func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
