package boot

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

type mount struct {
	source, target, kind string
	flags                uintptr
	options              string
}

const noExec = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// systemMounts is what a Linux userland expects, in order. Changes to /etc are
// lost at a restart, since the node document describes all of it.
var systemMounts = []mount{
	{"proc", "/proc", "proc", noExec, ""},
	{"sysfs", "/sys", "sysfs", noExec, ""},
	{"tmpfs", "/run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=0755,size=20%"},
	{"tmpfs", "/tmp", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
	{"devpts", "/dev/pts", "devpts", unix.MS_NOSUID | unix.MS_NOEXEC, "gid=5,mode=0620,ptmxmode=0666"},
	{"tmpfs", "/dev/shm", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
	{"mqueue", "/dev/mqueue", "mqueue", noExec, ""},
}

// machineMounts are those that only a machine needs, not a sandbox.
var machineMounts = []mount{
	{"cgroup2", "/sys/fs/cgroup", "cgroup2", noExec, "nsdelegate,memory_recursiveprot"},
}

// lateMounts are for tools and network plugins. Mounting bpf takes a while, because
// the kernel looks for a module.
var lateMounts = []mount{
	{"bpf", "/sys/fs/bpf", "bpf", noExec, "mode=0700"},
	{"debugfs", "/sys/kernel/debug", "debugfs", noExec, ""},
	{"tracefs", "/sys/kernel/tracing", "tracefs", noExec, ""},
}

// devLinks are those that udev would create.
var devLinks = map[string]string{
	"/dev/fd":     "/proc/self/fd",
	"/dev/stdin":  "/proc/self/fd/0",
	"/dev/stdout": "/proc/self/fd/1",
	"/dev/stderr": "/proc/self/fd/2",
	"/dev/core":   "/proc/kcore",
}

// moduleDevices are those whose module the kernel loads, by their number, when they
// are first opened. udev would create them from modules.devname
// (Documentation/admin-guide/devices.txt of the kernel).
var moduleDevices = []struct {
	path         string
	mode         uint32
	major, minor uint32
}{
	{"/dev/fuse", 0o666, 10, 229},
	{"/dev/net/tun", 0o666, 10, 200},
	{"/dev/loop-control", 0o600, 10, 237},
}

// stateDirs are directories on the node's own disk. The image has links to some of
// them (/home, /mnt, …), so that what pods keep there survives a restart.
var stateDirs = []string{
	"/var/lib", nodeconfig.StateDir, "/var/log", nodeconfig.LogDir, "/var/log/pods", "/var/log/containers",
	"/var/cache", "/var/spool", "/var/tmp", "/var/root", "/var/home", "/var/mnt", "/var/srv", "/var/data", "/var/local",
}

// mountAll mounts as many as possible.
func mountAll(mounts []mount) error {
	var errs []error
	for _, m := range mounts {
		if err := os.MkdirAll(m.target, 0o755); err != nil {
			errs = append(errs, err)
			continue
		}
		if err := unix.Mount(m.source, m.target, m.kind, m.flags, m.options); err != nil {
			errs = append(errs, fmt.Errorf("mount %s: %w", m.target, err))
		}
	}
	return errors.Join(errs...)
}

func mountSystem(sandboxed bool) error {
	errs := []error{mountAll(systemMounts)}
	if !sandboxed {
		errs = append(errs, mountAll(machineMounts))
	}
	// writableRoot shares them.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		errs = append(errs, fmt.Errorf("make mounts private: %w", err))
	}
	for link, target := range devLinks {
		if err := os.Symlink(target, link); err != nil && !errors.Is(err, os.ErrExist) {
			errs = append(errs, err)
		}
	}
	if !sandboxed {
		errs = append(errs, makeModuleDevices())
	}
	for _, dir := range []string{nodeconfig.Dir, nodeconfig.PKIDir} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			errs = append(errs, err)
		}
	}
	errs = append(errs, overlay("/etc", "/run/overlay/etc"))
	if sandboxed {
		errs = append(errs, mountCgroups(), coverKernel())
	} else {
		errs = append(errs, delegateControllers(cgroupDir))
	}
	return errors.Join(errs...)
}

func makeModuleDevices() error {
	var errs []error
	for _, d := range moduleDevices {
		err := os.MkdirAll(filepath.Dir(d.path), 0o755)
		if err == nil {
			err = unix.Mknod(d.path, unix.S_IFCHR|d.mode, int(unix.Mkdev(d.major, d.minor)))
		}
		if err == nil {
			err = os.Chmod(d.path, os.FileMode(d.mode)) // the umask cleared some bits
		}
		if err != nil && !errors.Is(err, os.ErrExist) { // the module is already loaded
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// overlay makes a directory of the image writable. Its changes are kept in state.
func overlay(dir, state string) error {
	upper, work := filepath.Join(state, "upper"), filepath.Join(state, "work")
	for _, d := range []string{upper, work} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", dir, upper, work)
	if err := unix.Mount("overlay", dir, "overlay", 0, options); err != nil {
		return fmt.Errorf("mount overlay at %s: %w", dir, err)
	}
	return nil
}

// delegateControllers enables every controller for the cgroups below root.
func delegateControllers(root string) error {
	have, err := os.ReadFile(filepath.Join(root, "cgroup.controllers"))
	if err != nil {
		return err
	}
	var errs []error
	for _, controller := range strings.Fields(string(have)) {
		// One at a time: one that cannot be enabled must not disable the others.
		err := os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), []byte("+"+controller), 0)
		if err != nil {
			errs = append(errs, fmt.Errorf("cgroup controller %s: %w", controller, err))
		}
	}
	return errors.Join(errs...)
}

// makeState creates the directories that programs expect on the node's disk, and
// makes /opt writable: network plugins are installed there.
func makeState() error {
	var errs []error
	for _, dir := range stateDirs {
		errs = append(errs, os.MkdirAll(dir, 0o755))
	}
	errs = append(errs, os.Chmod("/var/tmp", 0o1777|os.ModeSticky), os.Chmod("/var/root", 0o700))
	for link, target := range map[string]string{"/var/run": "/run", "/var/lock": "/run/lock"} {
		if err := os.Symlink(target, link); err != nil && !errors.Is(err, os.ErrExist) {
			errs = append(errs, err)
		}
	}
	errs = append(errs, overlay("/opt", nodeconfig.StateDir+"/overlay/opt"))
	return errors.Join(errs...)
}
