// Package archive checks an image archive on the host, so that what is sent to
// the nodes is whole and made for them: every file that the archive's images
// refer to is there, unharmed, and each image runs on the nodes' platform.
//
// It reads what containerd imports: OCI image layouts
// (https://github.com/opencontainers/image-spec/blob/main/image-layout.md) and the
// format of docker save, as tar or gzip-compressed tar.
package archive

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// Bounds of what is kept in memory.
const (
	maxDocument  = 4 << 20  // bytes of one JSON document
	maxDocuments = 64 << 20 // bytes of all of them
	maxEntries   = 100_000
)

// Errors of Read. Their texts are for people.
var (
	// ErrTruncated says that the archive ends too early.
	ErrTruncated = errors.New("the archive is truncated")
	// ErrFormat says that these are no images.
	ErrFormat = errors.New("not a valid image archive")
	// ErrPlatform says that an image is for other machines.
	ErrPlatform = errors.New("built for another platform")
	// ErrUnnamed says that nobody could refer to an image.
	ErrUnnamed = errors.New("the image has no name")
)

// Image is one image of an archive that is whole.
type Image struct {
	// Names as written in the archive, at least one.
	Names []string
}

// contents is what one pass over the tar leaves behind.
type contents struct {
	sizes     map[string]int64
	documents map[string][]byte // JSON of at most maxDocument bytes
	harmed    map[string]bool   // blobs whose content is not their digest's
	kept      int
}

// Read reads an archive to its end and returns its images. Each has a variant
// for linux on arch ("amd64") that is there as a whole. The error wraps one of
// the package's.
func Read(r io.Reader, arch string) ([]Image, error) {
	buffered := bufio.NewReaderSize(r, 1<<20)
	unpacked, finish, err := decompress(buffered)
	if err != nil {
		return nil, err
	}
	c, err := scan(unpacked)
	if err == nil {
		err = finish()
	}
	if err != nil {
		return nil, err
	}
	switch {
	case c.documents["oci-layout"] != nil:
		return c.layout(arch)
	case c.documents["manifest.json"] != nil:
		return c.saved(arch)
	}
	return nil, fmt.Errorf("%w: it contains neither oci-layout nor manifest.json", ErrFormat)
}

// decompress sees through gzip. finish checks what follows the tar.
func decompress(r *bufio.Reader) (_ io.Reader, finish func() error, err error) {
	head, err := r.Peek(4)
	if errors.Is(err, io.EOF) {
		return nil, nil, fmt.Errorf("%w: it has only %d bytes", ErrTruncated, len(head))
	}
	if err != nil {
		return nil, nil, err
	}
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		unpacked, err := gzip.NewReader(r)
		if err != nil {
			return nil, nil, fmt.Errorf("%w: %w", ErrFormat, err)
		}
		return unpacked, func() error {
			_, err := io.Copy(io.Discard, unpacked) // the checksum is at the end
			return readError(err)
		}, nil
	case bytes.Equal(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return nil, nil, fmt.Errorf("%w: compressed with zstd; decompress it first (zstd -d)", ErrFormat)
	}
	return r, func() error { return nil }, nil
}

func readError(err error) error {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return ErrTruncated
	case errors.Is(err, tar.ErrHeader), errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum):
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return err
}

func scan(r io.Reader) (*contents, error) {
	c := &contents{sizes: map[string]int64{}, documents: map[string][]byte{}, harmed: map[string]bool{}}
	links := map[string]string{}
	archive := tar.NewReader(r)
	for entries := 0; ; entries++ {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, readError(err)
		}
		if entries == maxEntries {
			return nil, fmt.Errorf("%w: more than %d files", ErrFormat, maxEntries)
		}
		name := path.Clean(header.Name)
		switch header.Typeflag {
		case tar.TypeReg:
			if err := c.add(name, header.Size, archive); err != nil {
				return nil, readError(err)
			}
		case tar.TypeSymlink: // old docker save: one layer twice
			links[name] = path.Join(path.Dir(name), header.Linkname)
		}
	}
	for name, target := range links {
		if size, ok := c.sizes[target]; ok {
			c.sizes[name] = size
		}
	}
	return c, nil
}

// add reads one file: a document is kept, a blob is compared to its digest.
func (c *contents) add(name string, size int64, r io.Reader) error {
	c.sizes[name] = size
	sum := sha256.New()
	in := io.TeeReader(r, sum)
	var head [1]byte
	if size > 0 {
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return err
		}
	}
	if (head[0] == '{' || head[0] == '[') && size <= maxDocument && c.kept+int(size) <= maxDocuments {
		rest, err := io.ReadAll(io.LimitReader(in, size))
		if err != nil {
			return err
		}
		c.documents[name] = append(head[:], rest...)
		c.kept += int(size)
	}
	if _, err := io.Copy(io.Discard, in); err != nil {
		return err
	}
	if digest, ok := strings.CutPrefix(name, "blobs/sha256/"); ok && digest != hex.EncodeToString(sum.Sum(nil)) {
		c.harmed[name] = true
	}
	return nil
}
