// Package boundedlog writes log files that never take more than twice their
// limit: a full file becomes NAME.1, in place of the one before.
package boundedlog

import (
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
)

// File is an open log file. Its methods may be called concurrently.
type File struct {
	path  string
	limit int64

	mu   sync.Mutex // guards file and size
	file *os.File   // nil if it could not be opened again
	size int64
}

// Open opens the log at path, mode 0600, and appends to what is there. It follows
// no symbolic link.
func Open(path string, limit int64) (*File, error) {
	f := &File{path: path, limit: limit}
	return f, f.open(0)
}

func (f *File) open(flag int) error {
	file, err := os.OpenFile(f.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY|syscall.O_NOFOLLOW|flag, 0o600)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(err, file.Close())
	}
	f.file, f.size = file, info.Size()
	return nil
}

// Write appends p. After an error the next Write tries again.
func (f *File) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file != nil && f.size+int64(len(p)) > f.limit {
		if err := f.rotate(); err != nil {
			return 0, err
		}
	}
	if f.file == nil {
		if err := f.open(0); err != nil {
			return 0, err
		}
	}
	n, err := f.file.Write(p)
	f.size += int64(n)
	return n, err
}

// rotate begins a new file. If the full one cannot be renamed, its content is
// dropped, so that the limit holds.
func (f *File) rotate() error {
	_ = f.file.Close()
	f.file = nil
	if err := os.Rename(f.path, f.path+".1"); err != nil {
		return f.open(os.O_TRUNC)
	}
	return f.open(0)
}

// Lossy returns a writer to f that drops what cannot be written, so that a full
// disk does not block the program that writes. Its Close closes f.
func (f *File) Lossy() io.WriteCloser { return lossy{f} }

type lossy struct{ *File }

func (l lossy) Write(p []byte) (int, error) {
	_, _ = l.File.Write(p)
	return len(p), nil
}

// Close closes the file.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil {
		return nil
	}
	return f.file.Close()
}
