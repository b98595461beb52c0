package sandbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// disk is where a machine has its data directory.
const disk = "/var/"

// PutFile writes a file once and links it into the file systems of machines. Its directory
// must be below /var and exist. A machine that already has a file of that name keeps it. If
// content does not have the SHA-256 sum, no file is created. It returns
// errors.ErrUnsupported, without reading content, if the host's file system does not support
// that.
func (d *Driver) PutFile(ctx context.Context, machines []string, name, sum string, content io.Reader) error {
	fd, err := unix.Open(d.config.Dir, unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o444)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("put %s: %w", name, errors.ErrUnsupported)
	}
	if err != nil {
		return fmt.Errorf("put %s: %w", name, err)
	}
	file := os.NewFile(uintptr(fd), name)
	defer func() { _ = file.Close() }()
	hash := sha256.New()
	if _, err := io.Copy(io.MultiWriter(file, hash), content); err != nil {
		return fmt.Errorf("put %s: %w", name, err)
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != sum {
		return fmt.Errorf("put %s: its SHA-256 sum is %s, want %s", name, got, sum)
	}
	if err := errors.Join(file.Sync(), ctx.Err()); err != nil {
		return fmt.Errorf("put %s: %w", name, err)
	}
	for _, machine := range machines {
		if err := d.link(file, machine, name); err != nil {
			return fmt.Errorf("put %s on %s: %w", name, machine, err)
		}
	}
	return nil
}

// link gives a file a name in a machine's file system. It follows no symbolic link that
// leads out of that.
func (d *Driver) link(file *os.File, machine, name string) error {
	within, ok := strings.CutPrefix(name, disk)
	if !ok {
		return fmt.Errorf("the file is not below %s", disk)
	}
	root, err := os.OpenRoot(d.data(machine))
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	// Nothing else is opened: a named pipe would wait for a writer.
	dir, err := root.OpenFile(path.Dir(within), os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	from := filepath.Join("/proc/self/fd", fmt.Sprint(file.Fd()))
	err = unix.Linkat(unix.AT_FDCWD, from, int(dir.Fd()), path.Base(name), unix.AT_SYMLINK_FOLLOW)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return os.NewSyscallError("linkat", err)
}
