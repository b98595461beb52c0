package offline

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/skiff-dev/skiff/internal/kubenames"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/drivers"
	"github.com/skiff-dev/skiff/vm/home"
)

// Host returns the resources of this host that machines have to fit into.
func Host(h home.Home) cluster.Host {
	return cluster.Host{
		CPUs: runtime.NumCPU(), MemoryMiB: memoryMiB(), DiskFreeMiB: FreeMiB(string(h)), Drivers: drivers.Names(),
		Pauses: drivers.CanPause, Emulates: drivers.CanEmulate, Folder: folder, Names: kubenames.Read,
	}
}

// folder returns an error for a path that is not a directory.
func folder(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		var at *fs.PathError
		if errors.As(err, &at) {
			err = at.Err
		}
		return fmt.Errorf("%s on the host: %w", path, err)
	}
	if !info.IsDir() {
		return fmt.Errorf("%s on the host is not a directory", path)
	}
	return nil
}

// FreeMiB returns the free space for this user in the file system of dir, or of
// the nearest parent directory that exists.
func FreeMiB(dir string) int {
	for {
		var stat unix.Statfs_t
		if err := unix.Statfs(dir, &stat); err == nil {
			return int(uint64(stat.Bavail) * uint64(stat.Bsize) >> 20)
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return 0
		}
		dir = parent
	}
}
