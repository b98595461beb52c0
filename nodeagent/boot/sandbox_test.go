package boot

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

func TestOnlyTheVariableMarksASandbox(t *testing.T) {
	t.Setenv(nodeconfig.SandboxVariable, "docker")
	if Sandboxed() || len(sandboxEnvironment()) != 0 {
		t.Error("another container's PID 1 takes itself for a sandbox's")
	}
	t.Setenv(nodeconfig.SandboxVariable, nodeconfig.SandboxValue)
	if got := sandboxEnvironment(); !Sandboxed() || len(got) != 1 || got[0] != "container=skiff" {
		t.Errorf("%v, %q", Sandboxed(), got)
	}
}

func TestASandboxChangesNoSettingOfTheHost(t *testing.T) {
	for name := range ownSysctls() {
		if !strings.HasPrefix(name, "net.") {
			t.Errorf("%s is the whole kernel's", name)
		}
	}
	for _, name := range kubeletSysctls {
		if sysctls[name] == "" {
			t.Errorf("%s has no value to show", name)
		}
	}
}

func TestCgroupHierarchiesOfVersion1(t *testing.T) {
	const own = "12:cpu,cpuacct:/\n4:memory:/\n1:name=systemd:/\n0::/\n"
	if got, want := cgroupHierarchies(own), []string{"cpu,cpuacct", "memory", "name=systemd"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for _, own := range []string{"0::/\n", "1:name=systemd:/\n0::/\n"} {
		if got := cgroupHierarchies(own); len(got) != 0 {
			t.Errorf("%q has controllers of the first version: %q", own, got)
		}
	}
}

func TestMeminfoIsLimitedToTheNodesMemory(t *testing.T) {
	const host = "MemTotal:       24684096 kB\nMemFree:          100 kB\nMemAvailable:   20000000 kB\nHugePages_Total:       0\nVmallocTotal:   34359738367 kB\n"
	want := "MemTotal: 2048 kB\nMemFree:          100 kB\nMemAvailable: 2048 kB\nHugePages_Total:       0\nVmallocTotal:   34359738367 kB\n"
	if got := limited(host, 2048); got != want {
		t.Errorf("%q\nwant %q", got, want)
	}
}

func TestCPULimitIsThatOfTheCgroup(t *testing.T) {
	for name, test := range map[string]struct {
		files map[string]string
		want  int
	}{
		"version 2":               {map[string]string{"cpu.max": "100000 100000\n"}, 1},
		"version 2, one and half": {map[string]string{"cpu.max": "150000 100000\n"}, 2},
		"version 2, no limit":     {map[string]string{"cpu.max": "max 100000\n"}, 0},
		"version 1":               {map[string]string{"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3},
		"version 1, no limit":     {map[string]string{"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0},
		"no controller":           {nil, 0},
	} {
		dir := t.TempDir()
		for file, content := range test.files {
			path := filepath.Join(dir, file)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := cpuLimit(dir); got != test.want {
			t.Errorf("%s: %d, want %d", name, got, test.want)
		}
	}
}

func TestTheTopCgroupContainsNoProcess(t *testing.T) {
	top := t.TempDir()
	if err := leaveTop(top); err != nil {
		t.Fatal(err)
	}
	moved, err := os.ReadFile(filepath.Join(top, "init", "cgroup.procs"))
	if err != nil || string(moved) != "0" {
		t.Errorf("%q, %v", moved, err)
	}
}

func FuzzCgroupHierarchies(f *testing.F) {
	f.Add("4:memory:/a\n0::/b\n")
	f.Fuzz(func(t *testing.T, own string) {
		for _, name := range cgroupHierarchies(own) {
			if name == "" || strings.Contains(name, "/") {
				t.Errorf("%q in %q", name, own)
			}
		}
	})
}
