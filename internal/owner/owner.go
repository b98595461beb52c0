// Package owner gives files that root creates in a user's directory to that user,
// so that `sudo skiff` leaves nothing behind that the user cannot use.
package owner

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// MkdirAll creates a directory and its missing parents. A directory that root
// creates belongs to the owner of the one it is in.
func MkdirAll(dir string, mode fs.FileMode) error {
	if _, err := os.Stat(dir); err == nil || !errors.Is(err, os.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(dir)
	if err := MkdirAll(parent, mode); err != nil {
		return err
	}
	if err := os.Mkdir(dir, mode); err != nil {
		if errors.Is(err, os.ErrExist) {
			return nil // another process was faster
		}
		return err
	}
	info, err := os.Stat(parent)
	if err != nil || os.Geteuid() != 0 {
		return err
	}
	// The parent may be one that another user can write to: follow no link.
	made, err := os.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	return errors.Join(Set(made, info), made.Close())
}

// Set gives an open file the owner and group of like. A group that the user may not
// give away is not an error, a different user is.
func Set(file *os.File, like fs.FileInfo) error {
	owner, ok := like.Sys().(*syscall.Stat_t)
	uid, gid := os.Geteuid(), os.Getegid()
	if !ok || uid != 0 && int(owner.Uid) == uid && int(owner.Gid) == gid {
		return nil
	}
	err := file.Chown(int(owner.Uid), int(owner.Gid))
	if int(owner.Uid) == uid && uid != 0 {
		return nil
	}
	return err
}
