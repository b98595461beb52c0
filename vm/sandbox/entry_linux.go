package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// entryName is what this program is called as a machine's first process.
const entryName = "skiff-sandbox"

// statusFile is the descriptor at which the entry says what went wrong; it
// closes by itself when the machine's own program starts.
const statusFile = 3

// plan is what the entry is told on its standard input, once its groups and
// link are there.
type plan struct {
	// Root is the device with the root, Mount an empty directory for it.
	Root, Mount string
	// Data becomes the machine's own disk.
	Data     string
	Document []byte
}

// IsEntry says whether the program's name is the one under which it has to
// call Enter.
func IsEntry(name string) bool { return name == entryName }

// Enter makes the namespaces that this process was started in into a machine
// and goes on as its first program. It returns only if it fails.
func Enter() error {
	unix.CloseOnExec(statusFile)
	err := enter()
	// Who started us reads it there; the console has it too.
	_, _ = fmt.Fprint(os.NewFile(statusFile, "status"), err)
	return err
}

func enter() error {
	// What a thread gives up, the program that it executes does not get back.
	runtime.LockOSThread()
	var p plan
	if err := json.NewDecoder(os.Stdin).Decode(&p); err != nil {
		return fmt.Errorf("read the plan: %w", err)
	}
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("cgroup namespace: %w", err)
	}
	if err := mountRoot(p); err != nil {
		return err
	}
	if err := makeDevices(filepath.Join(p.Mount, "dev")); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(p.Mount, nodeconfig.SandboxDocument), p.Document, 0o600); err != nil {
		return err
	}
	if err := enterRoot(p.Mount); err != nil {
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
	err = unix.Exec(nodeconfig.InitPath, []string{nodeconfig.InitPath}, environment)
	if errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("the node image has no %s: build it again with \"make image\"", nodeconfig.InitPath)
	}
	return fmt.Errorf("start %s: %w", nodeconfig.InitPath, err)
}

// hostOnly are the capabilities over what no namespace keeps apart: the host's
// clock and modules.
var hostOnly = []uintptr{unix.CAP_SYS_TIME, unix.CAP_SYS_MODULE}

// mountRoot mounts root and data where nobody outside this namespace sees them.
func mountRoot(p plan) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep mounts private: %w", err)
	}
	err := unix.Mount(p.Root, p.Mount, "erofs", unix.MS_RDONLY, "")
	if errors.Is(err, unix.ENODEV) {
		return errors.New("mount the root: this kernel has no erofs; try: modprobe erofs")
	}
	if err != nil {
		return fmt.Errorf("mount the root %s: %w", p.Root, err)
	}
	if err := unix.Mount(p.Data, filepath.Join(p.Mount, "var"), "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount the data directory: %w", err)
	}
	return nil
}

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
		if err := os.Chmod(path, os.FileMode(d.mode)); err != nil { // the mask took some of it
			return err
		}
	}
	return os.Symlink("pts/ptmx", filepath.Join(dir, "ptmx"))
}

// enterRoot makes dir the root and lets go of the host's (pivot_root(2), the
// way with one directory).
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
