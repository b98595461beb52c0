package kubeconfig

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/skiff-dev/skiff/internal/atomicfile"
	"github.com/skiff-dev/skiff/internal/owner"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// write replaces the file at path, with the owner and mode of the file at like. If
// that does not exist, the new file belongs to the owner of the directory when root
// creates it, so that `sudo skiff` leaves no file that the user cannot use.
func write(path, like string, content []byte) error {
	info, err := os.Stat(like)
	mode := fs.FileMode(0o600)
	switch {
	case err == nil && info.Mode().Perm()&0o200 == 0:
		return syscall.EROFS
	case err == nil:
		mode = info.Mode().Perm()
	case !errors.Is(err, os.ErrNotExist):
		return err
	default:
		if info, err = os.Stat(filepath.Dir(path)); err != nil {
			return err
		}
	}
	f, err := atomicfile.Create(path, mode)
	if err != nil {
		return err
	}
	defer f.Discard()
	if err := owner.Set(f.File, info); err != nil {
		return fmt.Errorf("keep the owner: %w", err)
	}
	if _, err := f.Write(content); err != nil {
		return err
	}
	return f.Commit()
}

// unwritable explains why the file at path cannot be written.
func unwritable(path string, err error) error {
	var reason string
	switch {
	case errors.Is(err, syscall.EROFS):
		reason = "it is read-only"
	case errors.Is(err, os.ErrPermission):
		reason = "permission denied"
	case err == nil:
		return nil
	default:
		var failure *daemonapi.Failure
		if errors.As(err, &failure) {
			return err
		}
		return fmt.Errorf("change %s: %w", path, err)
	}
	return &daemonapi.Failure{
		Cause: fmt.Sprintf("cannot write %s: %s", path, reason),
		Hint:  "make it writable, or set KUBECONFIG to another file",
	}
}
