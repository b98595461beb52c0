// Package enter turns the namespaces that a process was started in into a node, and
// executes the node's PID 1. The host has created the namespaces, the link and the
// cgroups and mounted the root. Nothing here has an effect outside.
package enter

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// statusFile is the descriptor from which the host reads an error. It is closed when
// PID 1 starts.
const statusFile = 3

// Run returns only if it fails.
func Run() error {
	unix.CloseOnExec(statusFile)
	err := enter()
	_, _ = fmt.Fprint(os.NewFile(statusFile, "status"), err)
	return err
}

func enter() error {
	// The program that this thread executes inherits its capabilities.
	runtime.LockOSThread()
	var sandbox nodeconfig.Sandbox
	if err := json.NewDecoder(os.Stdin).Decode(&sandbox); err != nil {
		return fmt.Errorf("read the sandbox's description: %w", err)
	}
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("cgroup namespace: %w", err)
	}
	if err := unix.Mount(sandbox.Data, filepath.Join(sandbox.Root, "var"), "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount the data directory: %w", err)
	}
	if err := makeDevices(filepath.Join(sandbox.Root, "dev")); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(sandbox.Root, nodeconfig.SandboxDocument), sandbox.Document, 0o600); err != nil {
		return err
	}
	if err := mountFolders(sandbox); err != nil {
		return err
	}
	if err := enterRoot(sandbox.Root); err != nil {
		return err
	}
	for _, capability := range hostOnly {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0); err != nil {
			return fmt.Errorf("drop capability %d: %w", capability, err)
		}
	}
	null, err := unix.Open("/dev/null", unix.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := unix.Dup2(null, 0); err != nil {
		return err
	}
	environment := []string{nodeconfig.SandboxVariable + "=" + nodeconfig.SandboxValue, "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	return fmt.Errorf("start %s: %w", nodeconfig.InitPath, unix.Exec(nodeconfig.InitPath, []string{nodeconfig.InitPath}, environment))
}

// hostOnly are the capabilities over what no namespace separates: the host's
// clock, modules, memory and I/O ports (which includes /proc/kcore), and its sleep.
// CAP_SYSLOG stays, because the kubelet reads kernel messages to notice processes
// that ran out of memory, and CAP_SYS_BOOT, because reboot(2) ends the node.
var hostOnly = []uintptr{unix.CAP_SYS_TIME, unix.CAP_SYS_MODULE, unix.CAP_SYS_RAWIO, unix.CAP_WAKE_ALARM, unix.CAP_BLOCK_SUSPEND}

// device is a special file of a machine (Documentation/admin-guide/devices.txt
// of the kernel).
type device struct {
	name         string
	mode         uint32
	major, minor uint32
}

var devices = []device{
	{"null", 0o666, 1, 3}, {"zero", 0o666, 1, 5}, {"full", 0o666, 1, 7},
	{"random", 0o666, 1, 8}, {"urandom", 0o666, 1, 9}, {"kmsg", 0o600, 1, 11},
	{"tty", 0o666, 5, 0}, {"fuse", 0o666, 10, 229}, {"net/tun", 0o666, 10, 200},
}

func makeDevices(dir string) error {
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID, "mode=0755,size=64k"); err != nil {
		return fmt.Errorf("mount /dev: %w", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "net"), 0o755); err != nil {
		return err
	}
	for _, d := range devices {
		path := filepath.Join(dir, d.name)
		if err := unix.Mknod(path, unix.S_IFCHR|d.mode, int(unix.Mkdev(d.major, d.minor))); err != nil {
			return fmt.Errorf("make /dev/%s: %w", d.name, err)
		}
		if err := os.Chmod(path, os.FileMode(d.mode)); err != nil { // the umask cleared some bits
			return err
		}
	}
	return os.Symlink("pts/ptmx", filepath.Join(dir, "ptmx"))
}

// mountFolders mounts the host's folders where PID 1 finds them, with everything that
// is mounted below them. Their devices and set-user-ID programs have no effect in
// the node.
func mountFolders(sandbox nodeconfig.Sandbox) error {
	for n, folder := range sandbox.Folders {
		target := filepath.Join(sandbox.Root, nodeconfig.SandboxFolder(n))
		if err := os.MkdirAll(target, 0o700); err != nil {
			return err
		}
		if err := unix.Mount(folder.Host, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("mount %s of the host: %w", folder.Host, err)
		}
		attributes := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV}
		if folder.ReadOnly {
			attributes.Attr_set |= unix.MOUNT_ATTR_RDONLY
		}
		if err := unix.MountSetattr(unix.AT_FDCWD, target, unix.AT_RECURSIVE, &attributes); err != nil {
			return fmt.Errorf("restrict the mount of %s of the host: %w", folder.Host, err)
		}
	}
	return nil
}

// enterRoot makes dir the root and detaches the host's (pivot_root(2),
// "pivot_root(".", ".")").
func enterRoot(dir string) error {
	if err := os.Chdir(dir); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("enter the root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leave the host's root: %w", err)
	}
	return os.Chdir("/")
}
