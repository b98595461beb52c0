// Package initramfs finds the disk with a node's read-only root, mounts it and makes
// it the root of the calling process. The program of the initramfs continues as
// PID 1, so it is loaded and started only once.
package initramfs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skiff-dev/skiff/nodeagent/boot/disk"
	"github.com/skiff-dev/skiff/nodeagent/boot/module"
)

const (
	// modules contains module files and the file "order", which lists their names in
	// the order of loading, one per line.
	modules = "/modules"
	root    = "/root"
	// rootWait is how long the root disk may take to appear.
	rootWait = 20 * time.Second
)

// Run returns with the root mounted at / and /dev in it.
func Run() error {
	for _, dir := range []string{"/dev", root} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := unix.Mount("devtmpfs", "/dev", "devtmpfs", unix.MS_NOSUID, "mode=0755"); err != nil && !errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("mount devtmpfs: %w", err)
	}
	if err := loadModules(); err != nil {
		return err
	}
	device, err := findRoot(time.Now().Add(rootWait))
	if err != nil {
		return err
	}
	if err := unix.Mount(device, root, "erofs", unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("mount %s: %w", device, err)
	}
	return switchRoot()
}

func loadModules() error {
	order, err := os.ReadFile(filepath.Join(modules, "order"))
	if err != nil {
		return err
	}
	for _, name := range strings.Fields(string(order)) {
		if err := module.Insert(filepath.Join(modules, name)); err != nil {
			// A machine may lack the hardware for one of them. If it was needed, the
			// root does not appear, which is the better error.
			fmt.Fprintf(os.Stderr, "skiff-init: module %s: %v\n", name, err)
		}
	}
	return nil
}

// findRoot returns the block device that contains an erofs.
func findRoot(deadline time.Time) (string, error) {
	for {
		devices, err := filepath.Glob("/dev/vd[a-z]")
		if err != nil {
			return "", err
		}
		for _, device := range devices {
			if kind, err := disk.Probe(device); err == nil && kind == disk.Erofs {
				return device, nil
			}
		}
		if time.Now().After(deadline) {
			return "", fmt.Errorf("no disk contains an erofs root (disks: %s)", strings.Join(devices, " "))
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// switchRoot frees the memory of the initramfs, except that of this program, and
// makes root the root directory, as switch_root(8) does.
func switchRoot() error {
	if err := unix.Mount("/dev", root+"/dev", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move /dev: %w", err)
	}
	for _, path := range []string{modules, "/init"} {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	if err := os.Chdir(root); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move the root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("chroot: %w", err)
	}
	return os.Chdir("/")
}
