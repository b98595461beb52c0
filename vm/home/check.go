package home

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// ErrUnsafe is returned for a directory that other users can change.
var ErrUnsafe = errors.New("unsafe directory")

const writableByOthers = 0o002

// Check returns an error that wraps ErrUnsafe if another user can put files into
// the directory of all clusters, which need not exist: keys are there, and root
// writes there. It may belong to the user, to root, and when root runs skiff in
// somebody's place, as with sudo, to that user.
func (h Home) Check() error {
	info, err := os.Stat(string(h))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at the directory of all clusters: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("%w: %s is not a directory", ErrUnsafe, h)
	}
	if info.Mode().Perm()&writableByOthers != 0 {
		return fmt.Errorf("%w: every user can write to %s", ErrUnsafe, h)
	}
	owner, ok := ownerOf(info)
	if !ok || owner == 0 || owner == os.Geteuid() || os.Geteuid() == 0 && h.servedByRoot(owner) {
		return nil
	}
	return fmt.Errorf("%w: %s belongs to another user (ID %d)", ErrUnsafe, h, owner)
}

// servedByRoot reports whether root uses the directory in the place of its owner:
// the user of sudo, or the owner of the directory that it is in, which may be a home
// that a container mounts.
func (h Home) servedByRoot(owner int) bool {
	if os.Getenv("SUDO_UID") == strconv.Itoa(owner) {
		return true
	}
	parent, err := os.Stat(filepath.Dir(string(h)))
	if err != nil {
		return false
	}
	of, ok := ownerOf(parent)
	return ok && of == owner
}

func ownerOf(info fs.FileInfo) (int, bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(stat.Uid), true
}
