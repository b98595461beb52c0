package resolver

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"
)

const (
	// checkPeriod is how often a file is checked at most.
	checkPeriod = time.Second
	// maxFile bounds what is read of a file: lists of blocked names have megabytes.
	maxFile = 16 << 20
)

// follower holds the parsed content of a file, and notices when it changes. It needs
// no goroutine: get checks the file. While the file cannot be read, as during a
// change, the last content counts; a missing file is empty.
type follower[T any] struct {
	path  string
	parse func([]byte) T

	mu      sync.Mutex // guards what follows
	read    bool
	checked time.Time
	seen    fs.FileInfo // nil if the file is missing
	value   T
}

// get returns the content, at most checkPeriod old.
func (f *follower[T]) get(now time.Time) T {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.read && now.Sub(f.checked) < checkPeriod {
		return f.value
	}
	f.checked = now
	info, err := os.Stat(f.path)
	missing := errors.Is(err, fs.ErrNotExist)
	if f.read && (err != nil && !missing || same(info, f.seen)) {
		return f.value
	}
	content, err := readFile(f.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && f.read {
		return f.value
	}
	f.read, f.seen, f.value = true, info, f.parse(content)
	return f.value
}

func same(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	return io.ReadAll(io.LimitReader(file, maxFile))
}
