package sandbox

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/skiff-dev/skiff/vm/driver"
)

// needed are files of the host that sandboxes require, with a hint for each.
var needed = []struct{ path, hint string }{
	{"/dev/loop-control", "this kernel has no loop devices; try: modprobe loop"},
	{"/dev/net/tun", "this kernel has no TUN devices; try: modprobe tun"},
	{"/proc/self/ns/cgroup", "this kernel has no cgroup namespaces"},
}

// Available returns driver.ErrUnavailable, with what to do, if this host cannot run
// sandboxes.
func Available() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: the sandbox driver needs root: run skiff with sudo, or use --driver lima", driver.ErrUnavailable)
	}
	for _, need := range needed {
		if _, err := os.Stat(need.path); err != nil {
			return fmt.Errorf("%w: the sandbox driver needs %s: %s", driver.ErrUnavailable, need.path, need.hint)
		}
	}
	return nil
}

// checkDir returns an error if the file system of a directory cannot store the
// layers of containers.
func checkDir(dir string) error {
	if !filepath.IsAbs(dir) {
		return fmt.Errorf("the machines' directory %s is not absolute", dir)
	}
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return fmt.Errorf("the machines' directory %s: %w", dir, err)
	}
	if stat.Type == unix.OVERLAYFS_SUPER_MAGIC {
		return fmt.Errorf("%w: %s is on an overlay file system, on which containers cannot have theirs; set SKIFF_HOME to a volume or a tmpfs", driver.ErrUnavailable, dir)
	}
	return nil
}
