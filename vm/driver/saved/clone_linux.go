package saved

import (
	"os"

	"golang.org/x/sys/unix"
)

// Clone makes target a copy of source that shares its blocks, and reports whether the file
// system can (ioctl_ficlone(2)). If it cannot, target is unchanged.
func Clone(target, source *os.File) bool {
	return unix.IoctlFileClone(int(target.Fd()), int(source.Fd())) == nil
}
