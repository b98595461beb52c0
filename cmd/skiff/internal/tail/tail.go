// Package tail reads the end of a log file and follows what is appended to it. A
// file that is truncated or replaced meanwhile is read from its start.
package tail

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// interval is how often a followed file is checked.
const interval = 300 * time.Millisecond

// Reader reads a log file. It is not safe for concurrent use.
type Reader struct {
	ctx    context.Context // bounds Read, which has no argument for it
	path   string
	file   *os.File
	follow bool
}

// Open opens the file at path at its last lines, or at its start if lines is not
// positive. With follow, Read waits at the end of the file until ctx ends and then
// returns io.EOF.
func Open(ctx context.Context, path string, lines int, follow bool) (*Reader, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if lines > 0 {
		offset, err := lastLines(file, lines)
		if err == nil {
			_, err = file.Seek(offset, io.SeekStart)
		}
		if err != nil {
			file.Close()
			return nil, fmt.Errorf("find the last lines of %s: %w", path, err)
		}
	}
	return &Reader{ctx: ctx, path: path, file: file, follow: follow}, nil
}

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	for {
		n, err := r.file.Read(p)
		if n > 0 || !errors.Is(err, io.EOF) || !r.follow {
			return n, err
		}
		select {
		case <-r.ctx.Done():
			return 0, io.EOF
		case <-time.After(interval):
		}
		if err := r.reopen(); err != nil {
			return 0, err
		}
	}
}

// reopen starts over if the file was truncated or replaced.
func (r *Reader) reopen() error {
	offset, err := r.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	ours, err := r.file.Stat()
	if err != nil {
		return err
	}
	if ours.Size() < offset {
		_, err := r.file.Seek(0, io.SeekStart)
		return err
	}
	named, err := os.Stat(r.path)
	if err != nil || os.SameFile(ours, named) {
		return nil // missing for now, or unchanged
	}
	file, err := os.Open(r.path)
	if err != nil {
		return nil
	}
	r.file.Close()
	r.file = file
	return nil
}

// Close implements io.Closer.
func (r *Reader) Close() error { return r.file.Close() }

// lastLines returns the offset at which the last n lines of file begin.
func lastLines(file *os.File, n int) (int64, error) {
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	size := info.Size()
	const block = 32 << 10
	buf := make([]byte, block)
	for from := size; from > 0; {
		length := min(int64(block), from)
		from -= length
		part := buf[:length]
		if _, err := file.ReadAt(part, from); err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		for {
			i := bytes.LastIndexByte(part, '\n')
			if i < 0 {
				break
			}
			part = part[:i]
			if from+int64(i) == size-1 {
				continue // the end of the last line
			}
			if n--; n == 0 {
				return from + int64(i) + 1, nil
			}
		}
	}
	return 0, nil
}
