package boot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// rootDir becomes the node's root directory: pods may create host paths at the top
// level, as on any other machine, and these survive a restart.
const rootDir = nodeconfig.StateDir + "/root"

// rootEntry is an entry of the image's root directory.
type rootEntry struct {
	name string
	dir  bool
	link string // where a symbolic link points
}

// writableRoot replaces the image's read-only root directory by rootDir, with
// everything of the image mounted in it as before. Only the top level is writable:
// a pod that could change /usr would break the node beyond its next restart.
//
// Every mount must be private at first, as pivot_root(2) requires; they are shared
// in the end, as pods with mount propagation require.
func writableRoot() (err error) {
	defer func() {
		if shared := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); shared != nil {
			err = errors.Join(err, fmt.Errorf("share mounts: %w", shared))
		}
	}()
	entries, err := rootEntries("/")
	if err != nil {
		return fmt.Errorf("read the image's root: %w", err)
	}
	if err := os.MkdirAll(rootDir, 0o755); err != nil {
		return err
	}
	if err := layOut(rootDir, entries); err != nil {
		return err
	}
	if err := bindRoot(rootDir, entries); err != nil {
		return errors.Join(err, unix.Unmount(rootDir, unix.MNT_DETACH))
	}
	return pivot(rootDir)
}

// rootEntries returns the directories and symbolic links in dir. The image's root
// has nothing else.
func rootEntries(dir string) ([]rootEntry, error) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var entries []rootEntry
	for _, item := range list {
		entry := rootEntry{name: item.Name(), dir: item.IsDir()}
		if item.Type()&fs.ModeSymlink != 0 {
			if entry.link, err = os.Readlink(filepath.Join(dir, entry.name)); err != nil {
				return nil, err
			}
		}
		if entry.dir || entry.link != "" {
			entries = append(entries, entry)
		}
	}
	return entries, nil
}

// layOut creates a mount point for each directory of the image and each of its
// symbolic links. An entry that another image or a pod has left under such a name
// is replaced; one that holds data is an error.
func layOut(root string, entries []rootEntry) error {
	for _, entry := range entries {
		path := filepath.Join(root, entry.name)
		info, err := os.Lstat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return err
		case entry.dir && info.IsDir():
			continue
		default:
			if err := os.Remove(path); err != nil {
				return fmt.Errorf("%s is in the way of the image's: %w", path, err)
			}
		}
		if entry.dir {
			err = os.Mkdir(path, 0o755)
		} else {
			err = os.Symlink(entry.link, path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// bindRoot makes root a mount and mounts the directories of the current root in it.
func bindRoot(root string, entries []rootEntry) error {
	if err := unix.Mount(root, root, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount %s: %w", root, err)
	}
	// The new root is below one of the directories: it must not contain itself.
	if err := unix.Mount("", root, "", unix.MS_UNBINDABLE, ""); err != nil {
		return fmt.Errorf("mount %s: %w", root, err)
	}
	for _, entry := range entries {
		if !entry.dir {
			continue
		}
		target := filepath.Join(root, entry.name)
		if err := unix.Mount("/"+entry.name, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("mount %s: %w", target, err)
		}
	}
	return nil
}

// pivot makes root the root directory of every process and detaches the previous
// one (pivot_root(2), "pivot_root(".", ".")").
func pivot(root string) error {
	previous, err := unix.Open("/", unix.O_DIRECTORY|unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(previous) }()
	if err := os.Chdir(root); err != nil {
		return err
	}
	defer func() { _ = os.Chdir("/") }()
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("make %s the root: %w", root, err)
	}
	if err := unix.Fchdir(previous); err != nil {
		return err
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("detach the image's root: %w", err)
	}
	return nil
}
