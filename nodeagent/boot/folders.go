package boot

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// mountFolders mounts the host's folders once the node's disk is mounted, and then
// closes ready. If that fails, ready stays open: what pods write must not end up
// on the node's disk instead of in the host's folder.
func (i *Init) mountFolders(ctx context.Context, folders []nodeconfig.Folder, data <-chan struct{}, ready chan<- struct{}) error {
	if err := wait(ctx, data); err != nil {
		return err
	}
	if len(folders) > 0 {
		if err := i.mountEach(folders); err != nil {
			return err
		}
		i.journal.step("folders", fmt.Sprint(len(folders)))
	}
	close(ready)
	return nil
}

func (i *Init) mountEach(folders []nodeconfig.Folder) error {
	i.mounting.Lock()
	defer i.mounting.Unlock()
	if !i.sandboxed {
		loader, err := newLoader()
		if err != nil {
			return err
		}
		if err := loader.Load("virtiofs"); err != nil {
			return err
		}
	}
	for n, folder := range folders {
		if err := os.MkdirAll(folder.Path, 0o755); err != nil {
			return fmt.Errorf("make %s, where a folder of the host belongs: %w", folder.Path, err)
		}
		mount := mountShared
		if i.sandboxed {
			mount = moveHere
		}
		if err := mount(n, folder); err != nil {
			return fmt.Errorf("mount the host's folder at %s: %w", folder.Path, err)
		}
	}
	if i.sandboxed {
		// The container runtime gives privileged pods what it finds in /dev.
		return os.Remove(filepath.Dir(nodeconfig.SandboxFolder(0)))
	}
	return nil
}

// mountShared mounts a folder that the hypervisor shares with its machine.
func mountShared(_ int, folder nodeconfig.Folder) error {
	flags := uintptr(unix.MS_NOSUID | unix.MS_NODEV)
	if folder.ReadOnly {
		flags |= unix.MS_RDONLY
	}
	return unix.Mount(folder.Tag, folder.Path, "virtiofs", flags, "")
}

// moveHere moves a folder that the sandbox was started with to its path. A shared
// mount cannot be moved, so it is mounted again. It keeps its restrictions.
func moveHere(n int, folder nodeconfig.Folder) error {
	from := nodeconfig.SandboxFolder(n)
	if err := unix.Mount(from, folder.Path, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	if err := unix.Unmount(from, unix.MNT_DETACH); err != nil {
		return err
	}
	return os.Remove(from)
}
