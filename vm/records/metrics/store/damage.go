package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// environmental reports whether an error is about the disk or the permissions and not
// about what the files contain.
func environmental(err error) bool {
	for _, number := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, fs.ErrPermission} {
		if errors.Is(err, number) {
			return true
		}
	}
	return false
}

// oneLine returns the message of an error on one line, which files may have made long.
func oneLine(err error) string {
	text := strings.Join(strings.Fields(err.Error()), " ")
	return text[:min(len(text), 300)]
}

// setAside renames a store and returns its new directory. It replaces the one that was
// set aside before, so that damage does not fill the disk.
func setAside(dir string) (string, error) {
	aside := dir + ".damaged"
	if err := os.RemoveAll(aside); err != nil {
		return "", fmt.Errorf("remove the metrics that were set aside earlier: %w", err)
	}
	if err := os.Rename(dir, aside); err != nil {
		return "", fmt.Errorf("set damaged metrics aside: %w", err)
	}
	return aside, nil
}
