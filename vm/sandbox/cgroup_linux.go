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

// removeWait is how long the last processes of a group may take to be gone.
const removeWait = 10 * time.Second

// hierarchy is one mounted cgroup hierarchy of the host: all controllers of the
// second version, or some of the first.
type hierarchy struct {
	mount string
	// controllers of the first version, or "name=…"; none: the second version.
	controllers []string
}

func (h hierarchy) second() bool { return len(h.controllers) == 0 }

// groups are the cgroups of all machines below one directory.
type groups struct {
	hierarchies []hierarchy
	name        string // of the group above the machines'
}

// newGroups finds the host's hierarchies. The name of the group follows from
// the machines' directory, so that what a dead process left is found again.
func newGroups(dir string) (groups, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return groups{}, err
	}
	sum := sha256.Sum256([]byte(dir))
	return groups{name: "skiff-" + hex.EncodeToString(sum[:6]), hierarchies: inUse(hierarchies(string(mounts)))}, nil
}

// inUse are the hierarchies in which machines live. Where both versions are
// mounted, it is the one with the controllers that the kubelet needs; a hierarchy
// of the first version with nothing but a name has none.
func inUse(all []hierarchy) []hierarchy {
	first := slices.ContainsFunc(all, func(h hierarchy) bool { return slices.Contains(h.controllers, "memory") })
	return slices.DeleteFunc(all, func(h hierarchy) bool { return h.second() == first })
}

// hierarchies are those of /proc/self/mountinfo (proc_pid_mountinfo(5)), each
// once.
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

// make makes a machine's groups with its limits.
func (g groups) make(m machine.Machine) error {
	for _, h := range g.hierarchies {
		if err := h.check(); err != nil {
			return err
		}
		parent := filepath.Join(h.mount, g.name)
		own := filepath.Join(parent, m.Name)
		for _, dir := range []string{parent, own} {
			if err := h.mkdir(dir); err != nil {
				return fmt.Errorf("cgroup: %w", err)
			}
		}
		processors := runtime.NumCPU()
		if err := errors.Join(set(parent, weight(h, processors)), set(own, weight(h, m.CPUs)), set(own, limits(h, m, processors))); err != nil {
			return fmt.Errorf("cgroup: %w", err)
		}
	}
	return nil
}

// kubeletControllers are those without which no kubelet runs.
var kubeletControllers = []string{"cpu", "memory", "pids"}

// check refuses a hierarchy of the second version that was given to us without
// what the kubelet needs.
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

// mkdir makes a group in which processes can be.
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
	// A new group of the first version has neither processors nor memory.
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

// enable lets the groups below one of the second version use its controllers.
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
			// Not the host's own top: a container's, in which processes are.
			return fmt.Errorf("%w: processes in %s keep its controllers from the groups below; move them into a group of their own first", driver.ErrUnavailable, dir)
		}
		if err != nil && slices.Contains(kubeletControllers, controller) {
			return fmt.Errorf("controller %s cannot be used below %s: %w", controller, dir, err)
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

// weight are the files by which a group gets as much of a busy host as that many
// programs. By default a whole cluster would get what one program gets, and its
// nodes would miss their leases beside any build.
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

// limits are the files of a machine's group that keep it to its size on a host
// with that many processors.
func limits(h hierarchy, m machine.Machine, processors int) map[string]string {
	const period = 100_000 // µs, the kernel's default
	files := map[string]string{}
	bytes, quota := strconv.Itoa(m.MemoryMiB<<20), strconv.Itoa(m.CPUs*period)
	if h.second() {
		files["memory.max"] = bytes
		if m.CPUs < processors {
			files["cpu.max"] = quota + " " + strconv.Itoa(period)
		}
		return files
	}
	if slices.Contains(h.controllers, "memory") {
		files["memory.limit_in_bytes"] = bytes
	}
	if slices.Contains(h.controllers, "cpu") && m.CPUs < processors {
		files["cpu.cfs_quota_us"] = quota
	}
	return files
}

// enter moves a process into a machine's groups.
func (g groups) enter(name string, pid int) error {
	for _, h := range g.hierarchies {
		file := filepath.Join(h.mount, g.name, name, "cgroup.procs")
		if err := os.WriteFile(file, []byte(strconv.Itoa(pid)), 0); err != nil {
			return fmt.Errorf("enter the cgroup: %w", err)
		}
	}
	return nil
}

// memoryMiB is what a machine's programs hold that no other file backs, 0 if
// unknown.
func (g groups) memoryMiB(name string) int {
	for _, h := range g.hierarchies {
		content, err := os.ReadFile(filepath.Join(h.mount, g.name, name, "memory.stat"))
		if err != nil {
			continue
		}
		sum := 0
		for line := range strings.Lines(string(content)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
			wanted := []string{"anon", "file_mapped"}
			if !h.second() {
				wanted = []string{"total_rss", "total_mapped_file"}
			}
			if slices.Contains(wanted, key) {
				bytes, _ := strconv.Atoi(value)
				sum += bytes
			}
		}
		return sum >> 20
	}
	return 0
}

// cpu is the processor time that a machine's programs have had since its groups
// were made, 0 if unknown.
func (g groups) cpu(name string) time.Duration {
	for _, h := range g.hierarchies {
		dir := filepath.Join(h.mount, g.name, name)
		if content, err := os.ReadFile(filepath.Join(dir, "cpuacct.usage")); err == nil {
			nanoseconds, _ := strconv.ParseInt(strings.TrimSpace(string(content)), 10, 64)
			return time.Duration(nanoseconds)
		}
		content, err := os.ReadFile(filepath.Join(dir, "cpu.stat"))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(content)) {
			if value, ok := strings.CutPrefix(strings.TrimSpace(line), "usage_usec "); ok {
				microseconds, _ := strconv.ParseInt(value, 10, 64)
				return time.Duration(microseconds) * time.Microsecond
			}
		}
	}
	return 0
}

// remove ends all that is left in a machine's groups (in all machines', if name
// is empty) and removes them.
func (g groups) remove(name string) error {
	g.release(name)
	var errs []error
	for _, h := range g.hierarchies {
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

// below are a directory and all directories in it, innermost first.
func below(dir string) []string {
	var all []string
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			all = append(all, path)
		}
		return nil // what is gone meanwhile need not be removed
	})
	slices.Reverse(all)
	return all
}

// kill ends the processes of one group.
func kill(group string) {
	content, err := os.ReadFile(filepath.Join(group, "cgroup.procs"))
	if err != nil {
		return
	}
	for _, field := range strings.Fields(string(content)) {
		// 0 is a process of another namespace, which is not ours to end.
		if pid, err := strconv.Atoi(field); err == nil && pid > 1 {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
}

// EndStray ends what is left of machines below dir though the process that
// started them is dead. The caller holds the cluster's lock.
func EndStray(dir string) error {
	g, err := newGroups(dir)
	if err != nil {
		return fmt.Errorf("find machines of a dead daemon: %w", err)
	}
	return g.remove("")
}
