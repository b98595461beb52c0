package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/driver"
	"github.com/skiff-dev/skiff/vm/machine"
)

// roots are the root file systems of node images, in the mount namespace of the thread. All
// machines of an image share one, and its pages.
type roots struct {
	dir    string // in which they are mounted
	thread *thread

	mu      sync.Mutex // guards what follows
	mounted map[string]root
	count   int // of mounts until now
}

type root struct {
	path string
	loop *os.File // the device with the file system
}

// open moves the thread into a mount namespace of its own.
func (r *roots) open() error {
	return r.thread.do(func() error {
		if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
			return fmt.Errorf("mount namespace: %w", err)
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return fmt.Errorf("make mounts private: %w", err)
		}
		return nil
	})
}

// mount returns where the root of an image is mounted for the thread and what it starts.
func (r *roots) mount(image machine.Image) (path string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := image.Digest + " " + image.Root
	if one, ok := r.mounted[key]; ok {
		return one.path, nil
	}
	one := root{path: filepath.Join(r.dir, "_root")}
	if r.count > 0 {
		one.path += "-" + strconv.Itoa(r.count)
	}
	if one.loop, err = attach(image.Root); err != nil {
		return "", err
	}
	if err := r.thread.do(func() error { return mountRoot(one.loop.Name(), one.path) }); err != nil {
		return "", errors.Join(err, one.loop.Close())
	}
	r.count++
	r.mounted[key] = one
	return one.path, nil
}

func mountRoot(device, path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	err := unix.Mount(device, path, "erofs", unix.MS_RDONLY, "")
	if errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("%w: this kernel has no erofs; try: modprobe erofs", driver.ErrUnavailable)
	}
	if err != nil {
		return fmt.Errorf("mount the node image: %w", err)
	}
	if _, err := os.Stat(filepath.Join(path, nodeconfig.InitPath)); err != nil {
		err = fmt.Errorf("%w: the node image is older than the sandbox driver; build it again with \"make image\"", driver.ErrUnavailable)
		return errors.Join(err, unix.Unmount(path, unix.MNT_DETACH))
	}
	return nil
}

// release unmounts all roots but those in use.
func (r *roots) release(inUse func(path string) bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	for key, one := range r.mounted {
		if inUse(one.path) {
			continue
		}
		errs = append(errs, r.thread.do(func() error { return unix.Unmount(one.path, unix.MNT_DETACH) }), one.loop.Close())
		delete(r.mounted, key)
	}
	return errors.Join(errs...)
}

// close gives the devices up. The mounts end with the thread.
func (r *roots) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	for _, one := range r.mounted {
		errs = append(errs, one.loop.Close())
	}
	clear(r.mounted)
	return errors.Join(errs...)
}
