package sandbox

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/skiff-dev/skiff/vm/driver"
	"github.com/skiff-dev/skiff/vm/machine"
)

func TestEachHierarchyIsFoundOnce(t *testing.T) {
	const mountinfo = `31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct
33 31 0:29 / /elsewhere rw - cgroup cgroup rw,cpu,cpuacct
40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/lib/x,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate
`
	var got []string
	for _, h := range hierarchies(mountinfo) {
		got = append(got, h.mount+" "+strings.Join(h.controllers, "+"))
	}
	want := []string{"/sys/fs/cgroup/cpu,cpuacct cpu+cpuacct", "/sys/fs/cgroup/systemd name=systemd", "/sys/fs/cgroup/unified "}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestLimitsFollowTheCgroupVersion(t *testing.T) {
	m := machine.Machine{CPUs: 2, MemoryMiB: 1}
	for what, c := range map[string]struct {
		h    hierarchy
		cpus int
		want map[string]string
	}{
		"version 2":          {hierarchy{}, 4, map[string]string{"memory.max": "1048576", "cpu.max": "200000 100000"}},
		"all CPUs":           {hierarchy{}, 2, map[string]string{"memory.max": "1048576"}},
		"version 1, memory":  {hierarchy{controllers: []string{"memory"}}, 4, map[string]string{"memory.limit_in_bytes": "1048576"}},
		"version 1, CPU":     {hierarchy{controllers: []string{"cpu", "cpuacct"}}, 4, map[string]string{"cpu.cfs_quota_us": "200000"}},
		"version 1, neither": {hierarchy{controllers: []string{"pids"}}, 4, map[string]string{}},
	} {
		if got := limits(c.h, m, c.cpus); fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s: %v, want %v", what, got, c.want)
		}
	}
}

func TestWeightGrowsWithTheNumberOfPrograms(t *testing.T) {
	for what, c := range map[string]struct {
		h        hierarchy
		programs int
		want     map[string]string
	}{
		"version 2":                  {hierarchy{}, 4, map[string]string{"cpu.weight": "400"}},
		"more than the maximum":      {hierarchy{}, 128, map[string]string{"cpu.weight": "10000"}},
		"version 1":                  {hierarchy{controllers: []string{"cpu", "cpuacct"}}, 2, map[string]string{"cpu.shares": "2048"}},
		"version 1, no CPU":          {hierarchy{controllers: []string{"memory"}}, 2, nil},
		"version 1, only accounting": {hierarchy{controllers: []string{"cpuacct"}}, 2, nil},
	} {
		if got := weight(c.h, c.programs); !maps.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", what, got, c.want)
		}
	}
}

func FuzzHierarchies(f *testing.F) {
	f.Add("32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n")
	f.Fuzz(func(t *testing.T, mountinfo string) {
		for _, h := range hierarchies(mountinfo) {
			if h.mount == "" {
				t.Errorf("a hierarchy without a mount in %q", mountinfo)
			}
		}
	})
}

func TestMachinesUseTheHierarchyWithTheControllers(t *testing.T) {
	const (
		second = "41 31 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n"
		named  = "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n"
		memory = "42 31 0:39 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
	)
	for mountinfo, want := range map[string]string{
		second:                  "/sys/fs/cgroup",
		second + named:          "/sys/fs/cgroup",
		named + memory:          "/sys/fs/cgroup/systemd /sys/fs/cgroup/memory",
		named + memory + second: "/sys/fs/cgroup/systemd /sys/fs/cgroup/memory",
	} {
		var mounts []string
		for _, h := range inUse(hierarchies(mountinfo)) {
			mounts = append(mounts, h.mount)
		}
		if got := strings.Join(mounts, " "); got != want {
			t.Errorf("%q: %s, want %s", mountinfo, got, want)
		}
	}
}

// secondVersion mounts the host's version 2 hierarchy.
func secondVersion(t *testing.T) hierarchy {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	dir := t.TempDir()
	if err := unix.Mount("cgroup2", dir, "cgroup2", 0, ""); err != nil {
		t.Skipf("no cgroups of version 2: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return hierarchy{mount: dir}
}

func TestVersion2GroupsAreEnteredAndRemovedWithTheirProcesses(t *testing.T) {
	h := secondVersion(t)
	g := groups{hierarchies: []hierarchy{h}, name: fmt.Sprintf("skiff-test-%d", os.Getpid())}
	own := filepath.Join(h.mount, g.name, "one")
	for _, dir := range []string{filepath.Dir(own), own} {
		if err := h.mkdir(dir); err != nil {
			t.Skip(err) // the root of a container's cgroups, which holds processes
		}
	}
	defer func() { _ = g.remove("") }()
	sleeper := exec.CommandContext(t.Context(), "sleep", "60")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- sleeper.Wait() }()
	if err := g.enter("one", sleeper.Process.Pid); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", sleeper.Process.Pid))
	if err != nil || !strings.Contains(string(content), "0::") || !strings.Contains(string(content), "/"+g.name+"/one\n") {
		t.Errorf("the process is in %q (%v)", content, err)
	}
	if err := g.remove(""); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("the process ended without being killed")
	}
	if _, err := os.Stat(filepath.Dir(own)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the group is still there: %v", err)
	}
}

// confined returns a function that runs a script in a cgroup with a filter.
func confined(t *testing.T, confine func(dir string) error) (inside func(script string) error) {
	t.Helper()
	h := secondVersion(t)
	g := groups{hierarchies: []hierarchy{h}, name: fmt.Sprintf("skiff-test-%d", os.Getpid())}
	own := filepath.Join(h.mount, g.name)
	if err := os.Mkdir(own, 0o755); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = g.remove("") })
	if err := confine(own); err != nil {
		if !unsupported(err) {
			t.Fatal(err)
		}
		t.Skipf("this kernel has no such filter: %v", err)
	}
	group, err := os.Open(own)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = group.Close() })
	return func(script string) error {
		c := exec.CommandContext(t.Context(), "sh", "-c", script)
		c.Dir = t.TempDir()
		c.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(group.Fd())}
		out, err := c.CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
}

func TestOnlyANodesDevicesCanBeOpened(t *testing.T) {
	inside := confined(t, confineDevices)
	for _, allowed := range []string{"echo x >/dev/null", "head -c1 /dev/urandom", "mknod disk b 1 0", "mknod any c 250 0"} {
		if err := inside(allowed); err != nil {
			t.Errorf("%s: %v", allowed, err)
		}
	}
	for _, refused := range []string{"mknod memory c 1 1 && head -c1 memory", "mknod port c 1 4 && head -c1 port", "mknod loop b 7 0 && head -c1 loop"} {
		if err := inside(refused); err == nil || !strings.Contains(err.Error(), "not permitted") {
			t.Errorf("%s: %v", refused, err)
		}
	}
}

// unchanged returns a script that writes a kernel setting's own value to it, in a
// /proc that it has just mounted, as a privileged pod has one.
func unchanged(name string) string {
	return "unshare -m sh -c 'mkdir proc && mount -t proc proc proc && now=$(cat proc/sys/" + name + ") && echo \"$now\" | tee proc/sys/" + name + "'"
}

func TestOnlyANodesKernelSettingsCanBeChanged(t *testing.T) {
	inside := confined(t, confineSysctls)
	allowed := []string{"net/ipv4/ip_forward", "net/ipv4/conf/default/accept_source_route", "vm/max_map_count", "kernel/shm_rmid_forced", "kernel/sem", "fs/inotify/max_user_watches"}
	for _, name := range allowed {
		if err := inside(unchanged(name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"kernel/core_pattern", "kernel/panic", "kernel/printk", "vm/swappiness", "fs/suid_dumpable", "vm/overcommit_memory"} {
		if err := inside("cat /proc/sys/" + name); err != nil {
			t.Errorf("read %s: %v", name, err)
		}
		if err := inside(unchanged(name)); err == nil || !strings.Contains(err.Error(), "not permitted") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNamesOfAllowedSettingsFitTheFilter(t *testing.T) {
	for _, name := range nodeSysctls {
		if len(name) >= sysctlName || strings.Contains(name, ".") || strings.HasPrefix(name, networkSysctls) {
			t.Errorf("%s cannot be compared", name)
		}
	}
}

func TestAHierarchyWithoutControllersIsRefused(t *testing.T) {
	for have, want := range map[string]bool{"cpuset cpu io memory hugetlb pids\n": true, "hugetlb\n": false, "": false} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "cgroup.controllers"), []byte(have), 0o600); err != nil {
			t.Fatal(err)
		}
		err := hierarchy{mount: dir}.check()
		if (err == nil) != want || err != nil && !errors.Is(err, driver.ErrUnavailable) {
			t.Errorf("%q: %v", have, err)
		}
	}
}
