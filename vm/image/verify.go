package image

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/skiff-dev/skiff/internal/atomicfile"
	"github.com/skiff-dev/skiff/internal/owner"
)

// ErrChanged is returned if a file of a node image is not the one that was built.
var ErrChanged = errors.New("the node image was changed or is damaged")

// sum is the SHA-256 sum that a file had when it was last read. It holds as long
// as the file is the same and was not written.
type sum struct {
	Inode    uint64 `json:"inode"`
	Bytes    int64  `json:"bytes"`
	Modified int64  `json:"modified"` // Unix time in nanoseconds
	SHA256   string `json:"sha256"`
}

// Verify compares the files of the image with the sums in its manifest. It keeps
// the sums in the directory cache, so only the first call for a file reads it. The
// error wraps ErrChanged if a file differs.
func (i Image) Verify(cache string) error {
	path := filepath.Join(cache, "image-sums.json")
	known := readSums(path)
	read := false
	for file, want := range i.digests {
		got, err := stat(file)
		if err != nil {
			return fmt.Errorf("verify the node image: %w", err)
		}
		if before, ok := known[file]; ok {
			got.SHA256 = before.SHA256
		}
		if got != known[file] {
			if got.SHA256, err = digest(file); err != nil {
				return fmt.Errorf("verify the node image: %w", err)
			}
			read = true
		}
		if got.SHA256 != want {
			return fmt.Errorf("%w: %s has the SHA-256 sum %s, want %s", ErrChanged, file, got.SHA256, want)
		}
		known[file] = got
	}
	if !read {
		return nil
	}
	return writeSums(path, known)
}

func stat(file string) (sum, error) {
	info, err := os.Stat(file)
	if err != nil {
		return sum{}, err
	}
	s := sum{Bytes: info.Size(), Modified: info.ModTime().UnixNano()}
	if system, ok := info.Sys().(*syscall.Stat_t); ok {
		s.Inode = system.Ino
	}
	return s, nil
}

func digest(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// readSums returns what writeSums wrote; nothing if that cannot be read.
func readSums(path string) map[string]sum {
	sums := map[string]sum{}
	content, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(content, &sums) != nil || sums == nil {
		return map[string]sum{}
	}
	return sums
}

func writeSums(path string, sums map[string]sum) error {
	content, err := json.MarshalIndent(sums, "", "  ")
	if err == nil {
		err = owner.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err == nil {
		err = atomicfile.Write(path, append(content, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("cache the sums of the node image: %w", err)
	}
	return nil
}
