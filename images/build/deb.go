package build

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

// unpack extracts an archive of a Debian package below dir, directories of the
// root as links into /usr have them, and returns the paths. keep chooses.
func unpack(ctx context.Context, deb, dir string, keep func(path string) bool) (paths []string, err error) {
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
			// The padding behind the last entry, or dpkg-deb would fail to write it.
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
		if err := extract(archive, header, dir, name); err != nil {
			return nil, fmt.Errorf("%s: %w", deb, err)
		}
		paths = append(paths, name)
	}
}

func extract(content io.Reader, header *tar.Header, dir, name string) error {
	to := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if err := os.Remove(to); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	switch header.Typeflag {
	case tar.TypeReg:
		return copyTo(to, content, header.FileInfo().Mode().Perm()|0o200)
	case tar.TypeSymlink:
		return os.Symlink(header.Linkname, to)
	case tar.TypeLink:
		return os.Link(filepath.Join(dir, mergeUsr(path.Clean(header.Linkname))), to)
	default:
		return fmt.Errorf("%s is of type %q", name, header.Typeflag)
	}
}

// mergeUsr maps a path to where it lies when /bin, /sbin and /lib* are links
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

// writeFile writes a file and the directories above it.
func writeFile(path string, content []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return copyTo(path, bytes.NewReader(content), mode)
}
