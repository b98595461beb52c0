package sandbox

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skiff-dev/skiff/vm/driver"
	"github.com/skiff-dev/skiff/vm/machine"
)

// removeWait is how long the last processes of a group may take to end.
const removeWait = 10 * time.Second

// maxPIDs limits the processes and threads of a machine where the host has many
// process IDs.
const maxPIDs = 65536

// hierarchy is a mounted cgroup hierarchy of the host: all controllers of
// version 2, or some of version 1.
type hierarchy struct {
	mount string
	// controllers of version 1, or "name=…"; none for version 2.
	controllers []string
}

func (h hierarchy) second() bool { return len(h.controllers) == 0 }

// groups are the cgroups of all machines below one directory.
type groups struct {
	hierarchies []hierarchy // with the controllers
	// filters is the hierarchy in which devices and kernel settings are restricted,
	// which needs version 2, also on hosts whose controllers are in version 1; nil if the host
	// has none.
	filters *hierarchy
	name    string // of the group above the machines'
}

// newGroups finds the host's hierarchies. The name of the group is derived from
// the machines' directory, so that what a dead process left is found again.
func newGroups(dir string) (groups, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return groups{}, err
	}
	sum := sha256.Sum256([]byte(dir))
	g := groups{name: "skiff-" + hex.EncodeToString(sum[:6])}
	all := hierarchies(string(mounts))
	if i := slices.IndexFunc(all, hierarchy.second); i >= 0 {
		g.filters = &all[i]
	}
	g.hierarchies = inUse(slices.Clone(all))
	return g, nil
}

// all returns every hierarchy that has groups of machines.
func (g groups) all() []hierarchy {
	if g.filters == nil || slices.ContainsFunc(g.hierarchies, hierarchy.second) {
		return g.hierarchies
	}
	return append(slices.Clone(g.hierarchies), *g.filters)
}

// inUse returns the hierarchies that limit machines. Where both versions are
// mounted, it is the one with the controllers that the kubelet needs; a version 1
// hierarchy that has only a name has none.
func inUse(all []hierarchy) []hierarchy {
	first := slices.ContainsFunc(all, func(h hierarchy) bool { return slices.Contains(h.controllers, "memory") })
	return slices.DeleteFunc(all, func(h hierarchy) bool { return h.second() == first })
}

// hierarchies returns the hierarchies in /proc/self/mountinfo
// (proc_pid_mountinfo(5)), each once.
func hierarchies(mountinfo string) []hierarchy {
	var all []hierarchy
	seen := map[string]bool{}
	for line := range strings.Lines(mountinfo) {
		before, after, ok := strings.Cut(line, " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if !ok || len(left) < 5 || len(right) < 3 || seen[left[2]] {
			continue
		}
		h := hierarchy{mount: left[4]}
		switch right[0] {
		case "cgroup2":
		case "cgroup":
			for option := range strings.SplitSeq(right[2], ",") {
				if !slices.Contains([]string{"rw", "ro", "xattr", "clone_children", "noprefix"}, option) && !strings.HasPrefix(option, "release_agent=") {
					h.controllers = append(h.controllers, option)
				}
			}
			if h.second() {
				continue
			}
		default:
			continue
		}
		seen[left[2]] = true
		all = append(all, h)
	}
	return all
}

// create creates a machine's groups with its limits.
func (g groups) create(m machine.Machine) error {
	for _, h := range g.hierarchies {
		if err := h.check(); err != nil {
			return err
		}
		parent, own, err := g.mkdir(h, m.Name)
		if err != nil {
			return fmt.Errorf("create the cgroup: %w", err)
		}
		cpus := runtime.NumCPU()
		err = errors.Join(set(parent, weight(h, cpus)), set(own, weight(h, m.CPUs)), set(own, limits(h, m, cpus)),
			set(parent, pids(h)), set(own, pids(h)))
		if err != nil {
			return fmt.Errorf("limit the cgroup: %w", err)
		}
	}
	return g.restrict(m.Name)
}

// mkdir creates a machine's group in one hierarchy, and the group above it.
func (g groups) mkdir(h hierarchy, name string) (parent, own string, err error) {
	parent = filepath.Join(h.mount, g.name)
	own = filepath.Join(parent, name)
	for _, dir := range []string{parent, own} {
		if err := h.mkdir(dir); err != nil {
			return "", "", err
		}
	}
	return parent, own, nil
}

// pids returns the files that keep half of the host's process IDs from a group.
func pids(h hierarchy) map[string]string {
	if !h.second() && !slices.Contains(h.controllers, "pids") {
		return nil
	}
	content, err := os.ReadFile("/proc/sys/kernel/pid_max")
	if err != nil {
		return nil
	}
	most, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		return nil
	}
	return map[string]string{"pids.max": strconv.Itoa(min(most/2, maxPIDs))}
}

// kubeletControllers are the controllers that the kubelet requires.
var kubeletControllers = []string{"cpu", "memory", "pids"}

// check returns an error if a version 2 hierarchy lacks a controller that the
// kubelet requires, as one that was delegated to a container may.
func (h hierarchy) check() error {
	if !h.second() {
		return nil
	}
	content, err := os.ReadFile(filepath.Join(h.mount, "cgroup.controllers"))
	if err != nil {
		return fmt.Errorf("cgroup: %w", err)
	}
	for _, needed := range kubeletControllers {
		if !slices.Contains(strings.Fields(string(content)), needed) {
			return fmt.Errorf("%w: the cgroup controller %q is not available in %s; nodes need %s",
				driver.ErrUnavailable, needed, h.mount, strings.Join(kubeletControllers, ", "))
		}
	}
	return nil
}

// mkdir creates a group that can hold processes.
func (h hierarchy) mkdir(dir string) error {
	if h.second() {
		if err := enable(filepath.Dir(dir)); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if !slices.Contains(h.controllers, "cpuset") {
		return nil
	}
	// A new group of version 1 has neither CPUs nor memory.
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		value, err := os.ReadFile(filepath.Join(filepath.Dir(dir), file))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, file), value, 0); err != nil {
			return err
		}
	}
	return nil
}

// enable lets the groups below one of version 2 use its controllers.
func enable(dir string) error {
	have, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return err
	}
	on, err := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control"))
	if err != nil {
		return err
	}
	for _, controller := range strings.Fields(string(have)) {
		if slices.Contains(strings.Fields(string(on)), controller) {
			continue
		}
		err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+controller), 0)
		if errors.Is(err, unix.EBUSY) {
			// The root of a container's cgroups, which holds processes.
			return fmt.Errorf("%w: the cgroup %s contains processes, so its controllers cannot be delegated; move them into a cgroup below it first", driver.ErrUnavailable, dir)
		}
		if err != nil && slices.Contains(kubeletControllers, controller) {
			return fmt.Errorf("enable the cgroup controller %s below %s: %w", controller, dir, err)
		}
	}
	return nil
}

// set writes files of a group.
func set(dir string, files map[string]string) error {
	for file, value := range files {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(value), 0); err != nil {
			return err
		}
	}
	return nil
}

// weight returns the files that give a group the share of that many programs on a
// busy host. By default a whole cluster would get the share of one program, and
// its nodes would miss their leases during any build.
func weight(h hierarchy, programs int) map[string]string {
	switch {
	case h.second():
		const one, most = 100, 10_000 // cgroup-v2.rst, cpu.weight
		return map[string]string{"cpu.weight": strconv.Itoa(min(programs*one, most))}
	case slices.Contains(h.controllers, "cpu"):
		const one = 1024 // sched-design-CFS.rst, cpu.shares
		return map[string]string{"cpu.shares": strconv.Itoa(programs * one)}
	default:
		return nil
	}
}

// limits returns the files that limit a machine's group to the machine's size, on
// a host with that many CPUs.
func limits(h hierarchy, m machine.Machine, cpus int) map[string]string {
	const period = 100_000 // µs, the kernel's default
	files := map[string]string{}
	bytes, quota := strconv.Itoa(m.MemoryMiB<<20), strconv.Itoa(m.CPUs*period)
	if h.second() {
		files["memory.max"] = bytes
		if m.CPUs < cpus {
			files["cpu.max"] = quota + " " + strconv.Itoa(period)
		}
		return files
	}
	if slices.Contains(h.controllers, "memory") {
		files["memory.limit_in_bytes"] = bytes
	}
	if slices.Contains(h.controllers, "cpu") && m.CPUs < cpus {
		files["cpu.cfs_quota_us"] = quota
	}
	return files
}

// enter moves a process into a machine's groups.
func (g groups) enter(name string, pid int) error {
	for _, h := range g.all() {
		file := filepath.Join(h.mount, g.name, name, "cgroup.procs")
		if err := os.WriteFile(file, []byte(strconv.Itoa(pid)), 0); err != nil {
			return fmt.Errorf("enter the cgroup: %w", err)
		}
	}
	return nil
}

// remove kills all processes in a machine's groups, or in those of all machines if
// name is empty, and removes the groups.
func (g groups) remove(name string) error {
	g.release(name)
	var errs []error
	for _, h := range g.all() {
		errs = append(errs, removeGroup(filepath.Join(h.mount, g.name, name)))
	}
	return errors.Join(errs...)
}

func removeGroup(dir string) error {
	for deadline := time.Now().Add(removeWait); ; time.Sleep(2 * time.Millisecond) {
		var last error
		for _, group := range below(dir) {
			kill(group)
			if err := unix.Rmdir(group); err != nil && !errors.Is(err, unix.ENOENT) {
				last = fmt.Errorf("remove cgroup %s: %w", group, err)
			}
		}
		if last == nil || time.Now().After(deadline) {
			return last
		}
	}
}

// below returns a directory and all directories in it, innermost first.
func below(dir string) []string {
	var all []string
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			all = append(all, path)
		}
		return nil // it may have been removed meanwhile
	})
	slices.Reverse(all)
	return all
}

// kill kills the processes of one group.
func kill(group string) {
	content, err := os.ReadFile(filepath.Join(group, "cgroup.procs"))
	if err != nil {
		return
	}
	for _, field := range strings.Fields(string(content)) {
		// 0 stands for a process of another namespace.
		if pid, err := strconv.Atoi(field); err == nil && pid > 1 {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
}

// EndStray kills what a dead daemon left of machines below dir. The caller holds
// the cluster's lock.
func EndStray(dir string) error {
	g, err := newGroups(dir)
	if err != nil {
		return fmt.Errorf("find machines of a dead daemon: %w", err)
	}
	return g.remove("")
}
