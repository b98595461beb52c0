// Package archive checks image archives on the host before they are sent to nodes:
// every file that an image refers to must exist and match its digest, and each image
// must run on the platform of the nodes.
//
// It reads the formats that containerd imports: OCI image layouts
// (https://github.com/opencontainers/image-spec/blob/main/image-layout.md) and the
// format of docker save, as tar, plain or compressed with gzip or zstd.
package archive

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// Bounds of what is kept in memory.
const (
	maxDocument  = 4 << 20  // bytes of one JSON document
	maxDocuments = 64 << 20 // bytes of all JSON documents and names
	maxEntries   = 100_000
	maxWindow    = 128 << 20 // bytes of a zstd window; zstd --ultra -22 uses as much
)

// Errors of Read. Their texts are shown to the user.
var (
	// ErrTruncated means that the archive ends too early.
	ErrTruncated = errors.New("the archive is truncated")
	// ErrFormat means that the file is not an image archive.
	ErrFormat = errors.New("not a valid image archive")
	// ErrPlatform means that an image does not run on the nodes.
	ErrPlatform = errors.New("built for another platform")
	// ErrUnnamed means that nothing could refer to an image.
	ErrUnnamed = errors.New("the image has no name")
)

// Image is a complete image of an archive.
type Image struct {
	// Names as written in the archive, at least one.
	Names []string
	// Digest of its manifest or index; empty if the archive has none, as in the format
	// of docker save.
	Digest string
	// Layers of its variant for the nodes; nil in the format of docker save.
	Layers []Layer
}

// Layer is a file of an archive that holds a layer of an image.
type Layer struct {
	File   string
	Digest string
	Size   int64
}

// contents is the result of reading an archive once.
type contents struct {
	sizes     map[string]int64
	documents map[string][]byte // JSON of at most maxDocument bytes
	damaged   map[string]bool   // blobs that do not match their digest
	kept      int               // bytes of names and documents
	searched  map[place]found   // results of find for one architecture
}

// Read reads an archive to its end and returns its images, each of which has a
// complete variant for linux on arch ("amd64"). The error wraps one of the package's
// or, if ctx ends first, its cause.
func Read(ctx context.Context, r io.Reader, arch string) ([]Image, error) {
	variants, err := ReadFor(ctx, r, arch)
	if err != nil {
		return nil, err
	}
	return variants[0].Images, variants[0].Missing
}

// Variant is what an archive has for nodes of one architecture.
type Variant struct {
	Arch   string
	Images []Image
	// Missing is why they are not complete, as an error of Read; nil if they are.
	Missing error
}

// ReadFor reads an archive to its end and returns its variants for architectures, in their
// order. The errors are those of Read.
func ReadFor(ctx context.Context, r io.Reader, archs ...string) ([]Variant, error) {
	c, err := open(ctx, r)
	if err != nil {
		return nil, err
	}
	var all []Variant
	for _, arch := range archs {
		images, err := c.images(arch)
		all = append(all, Variant{arch, images, err})
	}
	return all, nil
}

// open reads an archive to its end.
func open(ctx context.Context, r io.Reader) (*contents, error) {
	unpacked, err := Decompress(&cancellable{ctx, r})
	if err != nil {
		return nil, readError(err)
	}
	defer unpacked.Close()
	c, err := scan(unpacked)
	if err == nil {
		_, err = io.Copy(io.Discard, unpacked) // checksums are at the end
	}
	if err != nil {
		return nil, readError(err)
	}
	return c, nil
}

// images returns the images, each of which has a complete variant for linux on arch.
func (c *contents) images(arch string) ([]Image, error) {
	c.searched = map[place]found{}
	switch {
	case c.documents["oci-layout"] != nil:
		return c.layout(arch)
	case c.documents["manifest.json"] != nil:
		return c.saved(arch)
	}
	return nil, fmt.Errorf("%w: it contains neither oci-layout nor manifest.json", ErrFormat)
}

// cancellable ends reading with its context.
type cancellable struct {
	ctx context.Context // bounds Read, which has no argument for it
	io.Reader
}

func (c *cancellable) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.Reader.Read(p)
}

// Decompress returns the tar in r, which may be compressed with gzip or zstd.
func Decompress(r io.Reader) (io.ReadCloser, error) {
	buffered := bufio.NewReaderSize(r, 1<<20)
	head, err := buffered.Peek(4)
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: it has only %d bytes", ErrTruncated, len(head))
	}
	if err != nil {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return gzip.NewReader(buffered)
	case bytes.Equal(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		unpacked, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		return unpacked.IOReadCloser(), nil
	case bytes.Equal(head, []byte{0xfd, '7', 'z', 'X'}), bytes.HasPrefix(head, []byte("BZh")):
		return nil, fmt.Errorf("%w: it is compressed with xz or bzip2; use gzip or zstd, or decompress it first", ErrFormat)
	}
	return io.NopCloser(buffered), nil
}

// readError maps the errors of a damaged stream to those of the package.
func readError(err error) error {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return ErrTruncated
	case errors.Is(err, tar.ErrHeader), errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum),
		errors.Is(err, zstd.ErrCRCMismatch), errors.Is(err, zstd.ErrMagicMismatch), errors.Is(err, zstd.ErrWindowSizeExceeded),
		errors.Is(err, zstd.ErrReservedBlockType), errors.Is(err, zstd.ErrCompressedSizeTooBig), errors.Is(err, zstd.ErrBlockTooSmall):
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return err
}

func scan(r io.Reader) (*contents, error) {
	c := &contents{sizes: map[string]int64{}, documents: map[string][]byte{}, damaged: map[string]bool{}}
	links := map[string]string{}
	archive := tar.NewReader(r)
	for entries := 0; ; entries++ {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if entries == maxEntries {
			return nil, fmt.Errorf("%w: more than %d files", ErrFormat, maxEntries)
		}
		name := path.Clean(header.Name)
		if c.kept += len(name) + len(header.Linkname); c.kept > maxDocuments {
			return nil, fmt.Errorf("%w: its file names are too long", ErrFormat)
		}
		switch header.Typeflag {
		case tar.TypeReg:
			if err := c.add(name, header.Size, archive); err != nil {
				return nil, err
			}
		case tar.TypeSymlink: // older versions of docker save link repeated layers
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

// add reads a file. It keeps JSON documents and compares blobs to their digests.
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
	// Bazel names layers DIGEST.tar.gz there.
	digest, ok := strings.CutPrefix(name, "blobs/sha256/")
	if digest, _, _ = strings.Cut(digest, "."); ok && len(digest) == 2*sha256.Size && digest != hex.EncodeToString(sum.Sum(nil)) {
		c.damaged[name] = true
	}
	return nil
}
