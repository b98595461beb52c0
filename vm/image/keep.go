package image

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/skiff-dev/skiff/images/manifest"
	"github.com/skiff-dev/skiff/internal/atomicfile"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// Keep gives an image a place of its own below dir, where it stays when the files that it
// was read from are replaced, and returns the image there. It takes no space if both are on
// one file system. An image that is kept already stays as it is.
func Keep(i Image, dir string) (Image, error) {
	kept, err := Kept(dir, i.Digest)
	if err == nil {
		return kept, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Image{}, fmt.Errorf("keep the node image: %w", err)
	}
	temporary, err := os.MkdirTemp(dir, unfinished)
	if err != nil {
		return Image{}, fmt.Errorf("keep the node image: %w", err)
	}
	defer func() { _ = os.RemoveAll(temporary) }()
	from := filepath.Dir(i.Root)
	files := []string{manifest.Kernel, manifest.Initramfs, manifest.Root, manifest.Name}
	for name := range i.Programs {
		if nodeconfig.IsRuntimeProgram(name) { // the builder is not needed to start a machine
			files = append(files, name)
		}
	}
	for _, name := range files {
		if err := linkOrCopy(filepath.Join(from, name), filepath.Join(temporary, name)); err != nil {
			return Image{}, fmt.Errorf("keep the node image: %w", err)
		}
	}
	if again, err := Read(temporary); err != nil || again.Digest != i.Digest {
		return Image{}, errors.Join(fmt.Errorf("keep the node image: %s is being replaced; try again", from), err)
	}
	place := keptAt(dir, i.Digest)
	if err := os.RemoveAll(place); err != nil { // it could not be read
		return Image{}, fmt.Errorf("keep the node image: %w", err)
	}
	if err := os.Rename(temporary, place); err != nil {
		return Image{}, fmt.Errorf("keep the node image: %w", err)
	}
	if err := atomicfile.SyncDir(dir); err != nil {
		return Image{}, fmt.Errorf("keep the node image: %w", err)
	}
	return Kept(dir, i.Digest)
}

// Kept reads an image that Keep has kept below dir. The error wraps ErrNotFound if there is
// none, and ErrOther if it does not fit this program.
func Kept(dir, digest string) (Image, error) {
	image, err := Read(keptAt(dir, digest))
	if err == nil && image.Digest != digest {
		return Image{}, fmt.Errorf("%w: %s", ErrChanged, keptAt(dir, digest))
	}
	return image, err
}

// Prune removes all images that are kept below dir, except those with the given digests.
func Prune(dir string, digests ...string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove unused node images: %w", err)
	}
	for _, entry := range entries {
		place := filepath.Join(dir, entry.Name())
		if slices.ContainsFunc(digests, func(digest string) bool { return keptAt(dir, digest) == place }) {
			continue
		}
		if err := os.RemoveAll(place); err != nil {
			return fmt.Errorf("remove unused node images: %w", err)
		}
	}
	return nil
}

// unfinished begins the names of directories that are not complete.
const unfinished = ".new-"

func keptAt(dir, digest string) string {
	return filepath.Join(dir, strings.TrimPrefix(digest, "sha256:"))
}

// linkOrCopy gives a file a second name, or copies it where that is not possible: to another
// file system, or if it belongs to somebody else.
func linkOrCopy(from, to string) error {
	if err := os.Link(from, to); err == nil {
		return nil
	}
	return copyFile(from, to)
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}
