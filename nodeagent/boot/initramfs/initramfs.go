// Package initramfs is the first program of a node: it mounts the read-only
// root, whichever disk that is on, and becomes the init of that root.
package initramfs

import (
	"bytes"
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
	// modules holds module files and, in the file order, their names one a
	// line as they must be loaded.
	modules = "/modules"
	root    = "/root"
	init2   = "/usr/sbin/skiff-init"
	// rootWait is how long the root disk may take to appear.
	rootWait = 20 * time.Second
)

// Run does not return unless it failed.
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
			// A machine may lack the hardware of one of them; that the root
			// does not appear says so better than a stop here.
			fmt.Fprintf(os.Stderr, "skiff-init: module %s: %v\n", name, err)
		}
	}
	return nil
}

// findRoot returns the block device that holds an erofs.
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
			return "", fmt.Errorf("no disk holds an erofs root (disks: %s)", strings.Join(devices, " "))
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// switchRoot gives the memory of the initramfs back, makes root the root and
// executes its init (as switch_root(8) does).
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
	if err := os.Chdir("/"); err != nil {
		return err
	}
	env := []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "TERM=linux"}
	return fmt.Errorf("execute %s: %w", init2, unix.Exec(init2, []string{init2}, env))
}

// Cmdline returns the kernel command line's parameters by name; a parameter
// without "=" has an empty value, the last of a name wins.
func Cmdline(line []byte) map[string]string {
	params := map[string]string{}
	for _, field := range bytes.Fields(line) {
		name, value, _ := strings.Cut(string(field), "=")
		params[name] = value
	}
	return params
}
