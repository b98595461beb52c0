package boot

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// A sandbox is a node made of namespaces of a host. Its root, disk, document, link
// and cgroup exist when PID 1 starts; its clock and kernel are the host's and must
// not be changed.

const (
	cgroupDir = "/sys/fs/cgroup"
	// coverDir has the replacements of files in /proc.
	coverDir = nodeconfig.Dir + "/kernel"
)

// Sandboxed reports whether this process was started in a sandbox.
func Sandboxed() bool { return os.Getenv(nodeconfig.SandboxVariable) == nodeconfig.SandboxValue }

// sandboxEnvironment returns the variable that tells a program that it runs in a
// sandbox, if it does.
func sandboxEnvironment() []string {
	if !Sandboxed() {
		return nil
	}
	return []string{nodeconfig.SandboxVariable + "=" + nodeconfig.SandboxValue}
}

func sandboxDevices() *devices { return &devices{glob: []string{nodeconfig.SandboxDocument}} }

// ownSysctls returns the settings of the node's network namespace; the others are
// the host's.
func ownSysctls() map[string]string {
	own := map[string]string{}
	for _, list := range []map[string]string{sysctls, moduleSysctls} {
		for name, value := range list {
			_, err := os.Stat(filepath.Join("/proc/sys", strings.ReplaceAll(name, ".", "/")))
			if err == nil && strings.HasPrefix(name, "net.") {
				own[name] = value
			}
		}
	}
	return own
}

// kubeletSysctls are the kernel settings that the kubelet would change
// (setupKernelTunables in k8s.io/kubernetes/pkg/kubelet/cm). In a sandbox it sees
// its values, and the host's settings stay.
var kubeletSysctls = []string{
	"vm.overcommit_memory", "vm.panic_on_oom", "kernel.panic", "kernel.panic_on_oops",
	"kernel.keys.root_maxkeys", "kernel.keys.root_maxbytes",
}

// coverKernel makes the node see its own boot ID, memory, CPUs and kubeletSysctls.
func coverKernel() error {
	boot := make([]byte, 16)
	if _, err := rand.Read(boot); err != nil {
		return err
	}
	covers := map[string]string{
		"/proc/sys/kernel/random/boot_id": fmt.Sprintf("%x-%x-%x-%x-%x\n", boot[:4], boot[4:6], boot[6:8], boot[8:10], boot[10:]),
	}
	for _, name := range kubeletSysctls {
		covers[path.Join("/proc/sys", strings.ReplaceAll(name, ".", "/"))] = sysctls[name] + "\n"
	}
	meminfo, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return err
	}
	if limit := memoryLimit(); limit > 0 {
		covers["/proc/meminfo"] = limited(string(meminfo), limit>>10)
	}
	if cpus := cpuLimit(cgroupDir); cpus > 0 {
		// The kubelet counts the CPUs that are online.
		covers["/sys/devices/system/cpu/online"] = fmt.Sprintf("0-%d\n", cpus-1)
	}
	var errs []error
	for target, content := range covers {
		errs = append(errs, cover(target, content))
	}
	return errors.Join(errs...)
}

// cover mounts a file with the content over target.
func cover(target, content string) error {
	if err := os.MkdirAll(coverDir, 0o755); err != nil {
		return err
	}
	file := filepath.Join(coverDir, strings.ReplaceAll(strings.TrimPrefix(target, "/"), "/", "."))
	if err := os.WriteFile(file, []byte(content), 0o444); err != nil {
		return err
	}
	if err := unix.Mount(file, target, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("cover %s: %w", target, err)
	}
	return nil
}

// cpuLimit returns how many CPUs the cgroup at dir may use, 0 if it has no limit.
func cpuLimit(dir string) int {
	var quota, period string
	if content, err := os.ReadFile(filepath.Join(dir, "cpu.max")); err == nil {
		quota, period, _ = strings.Cut(string(content), " ")
	} else {
		version1 := func(name string) string {
			content, _ := os.ReadFile(filepath.Join(dir, "cpu", name))
			return string(content)
		}
		quota, period = version1("cpu.cfs_quota_us"), version1("cpu.cfs_period_us")
	}
	// A group without a limit has the quota "max" or -1.
	q, err1 := strconv.Atoi(strings.TrimSpace(quota))
	p, err2 := strconv.Atoi(strings.TrimSpace(period))
	if err1 != nil || err2 != nil || q <= 0 || p <= 0 {
		return 0
	}
	return (q + p - 1) / p
}

// memoryLimit returns the limit of the node's cgroup in bytes, 0 if it has none.
func memoryLimit() uint64 {
	for _, name := range []string{"memory.max", "memory/memory.limit_in_bytes"} {
		content, err := os.ReadFile(filepath.Join(cgroupDir, name))
		if err != nil {
			continue
		}
		// No limit is "max", or a very large number in version 1.
		limit, err := strconv.ParseUint(string(bytes.TrimSpace(content)), 10, 64)
		if err == nil && limit < 1<<60 {
			return limit
		}
	}
	return 0
}

// memoryUsed returns the memory of the node's cgroup that cannot simply be freed, in
// KiB, as the kubelet counts it (working set).
func memoryUsed() int64 {
	for usage, inactive := range map[string]string{
		"memory.current": "inactive_file ", "memory/memory.usage_in_bytes": "total_inactive_file ",
	} {
		content, err := os.ReadFile(filepath.Join(cgroupDir, usage))
		if err != nil {
			continue
		}
		used, _ := strconv.ParseInt(string(bytes.TrimSpace(content)), 10, 64)
		stat, _ := os.ReadFile(filepath.Join(cgroupDir, filepath.Dir(usage), "memory.stat"))
		for line := range strings.Lines(string(stat)) {
			if value, ok := strings.CutPrefix(line, inactive); ok {
				cached, _ := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
				used -= cached
			}
		}
		return max(0, used) >> 10
	}
	return 0
}

// limited returns the host's /proc/meminfo with no figure above total, the node's
// memory in KiB.
func limited(meminfo string, total uint64) string {
	var out strings.Builder
	for line := range strings.Lines(meminfo) {
		name, rest, _ := strings.Cut(line, ":")
		kib, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		if err == nil && strings.HasSuffix(strings.TrimSpace(rest), " kB") && kib > total && !strings.HasPrefix(name, "Vmalloc") {
			line = fmt.Sprintf("%s: %d kB\n", name, total)
		}
		out.WriteString(line)
	}
	return out.String()
}

// mountCgroups mounts the node's own cgroups, of the version that the host uses.
func mountCgroups() error {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return err
	}
	hierarchies := cgroupHierarchies(string(own))
	if len(hierarchies) == 0 {
		return errors.Join(mountAll(machineMounts), leaveTop(cgroupDir), delegateControllers(cgroupDir))
	}
	mounts := []mount{{"tmpfs", cgroupDir, "tmpfs", noExec, "mode=0755"}}
	for _, controllers := range hierarchies {
		name := strings.TrimPrefix(controllers, "name=")
		mounts = append(mounts, mount{"cgroup", filepath.Join(cgroupDir, name), "cgroup", noExec, controllers})
	}
	errs := []error{mountAll(mounts)}
	for _, controllers := range hierarchies {
		if names := strings.Split(controllers, ","); len(names) > 1 {
			for _, name := range names {
				errs = append(errs, os.Symlink(controllers, filepath.Join(cgroupDir, name)))
			}
		}
	}
	return errors.Join(errs...)
}

// cgroupHierarchies returns the version 1 hierarchies in /proc/self/cgroup
// (cgroups(7)), each as its mount option. It returns none if they have no
// controllers, because those are in version 2 then.
func cgroupHierarchies(own string) []string {
	var all []string
	controllers := false
	for line := range strings.Lines(own) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) == 3 && fields[1] != "" && !strings.ContainsAny(fields[1], "/ ") {
			all = append(all, fields[1])
			controllers = controllers || !strings.HasPrefix(fields[1], "name=")
		}
	}
	if !controllers {
		return nil
	}
	return all
}

// leaveTop moves this process below the top of its cgroups: a cgroup that contains
// processes cannot enable controllers for its children.
func leaveTop(top string) error {
	own := filepath.Join(top, "init")
	if err := os.MkdirAll(own, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(own, "cgroup.procs"), []byte("0"), 0o644)
}
