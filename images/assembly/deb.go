package assembly

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// unpack extracts the chosen files of a Debian package below dir, with /bin, /sbin
// and /lib moved into /usr, and returns their paths. Nothing in the archive can
// write outside of dir.
func unpack(ctx context.Context, deb, dir string, keep func(path string) bool) (paths []string, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	command := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", deb)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return nil, &Hint{errors.New("dpkg-deb is not installed"), "apt-get install dpkg"}
		}
		return nil, err
	}
	defer func() {
		if waited := command.Wait(); err == nil && waited != nil {
			err = fmt.Errorf("dpkg-deb %s: %w: %s", deb, waited, lastLine(stderr.String()))
		}
	}()
	archive := tar.NewReader(out)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			// Read the padding after the last entry, which dpkg-deb still writes.
			_, err = io.Copy(io.Discard, out)
			return paths, err
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", deb, err)
		}
		name := mergeUsr(path.Clean(header.Name))
		if !filepath.IsLocal(name) || header.Typeflag == tar.TypeDir || !keep(name) {
			continue
		}
		if err := extract(archive, header, root, name); err != nil {
			return nil, fmt.Errorf("%s: %w", deb, err)
		}
		paths = append(paths, name)
	}
}

func extract(content io.Reader, header *tar.Header, root *os.Root, name string) error {
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	if err := root.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	switch header.Typeflag {
	case tar.TypeReg:
		f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, content)
		return errors.Join(err, f.Chmod(header.FileInfo().Mode().Perm()|0o200), f.Close())
	case tar.TypeSymlink:
		return root.Symlink(header.Linkname, name)
	case tar.TypeLink:
		return root.Link(mergeUsr(path.Clean(header.Linkname)), name)
	default:
		return fmt.Errorf("%s has unsupported type %q", name, header.Typeflag)
	}
}

// mergeUsr returns a path's place on a system where /bin, /sbin and /lib* are links
// into /usr (https://wiki.debian.org/UsrMerge).
func mergeUsr(name string) string {
	first, _, _ := strings.Cut(name, "/")
	switch first {
	case "bin", "sbin", "lib", "lib32", "lib64", "libx32":
		return "usr/" + name
	}
	return name
}

func copyTo(path string, content io.Reader, mode os.FileMode) (err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := io.Copy(f, content); err != nil {
		return err
	}
	return f.Chmod(mode)
}

func copyFile(to, from string, mode os.FileMode) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return copyTo(to, f, mode)
}

// writeFile writes a file and creates the directories above it.
func writeFile(path string, content []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return copyTo(path, bytes.NewReader(content), mode)
}
