package kubelet

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
	utilsysctl "k8s.io/component-helpers/node/util/sysctl"
)

// ReadMachine looks at the machine that the agent runs on.
func ReadMachine() (Machine, error) {
	// Not sysinfo(2), which does not know of a sandbox's limit.
	meminfo, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return Machine{}, fmt.Errorf("read the size of memory: %w", err)
	}
	memory, err := memoryBytes(meminfo)
	if err != nil {
		return Machine{}, fmt.Errorf("read the size of memory: %w", err)
	}
	var cgroups unix.Statfs_t
	if err := unix.Statfs("/sys/fs/cgroup", &cgroups); err != nil {
		return Machine{}, fmt.Errorf("read the version of cgroups: %w", err)
	}
	return Machine{
		MemoryBytes:    memory,
		CgroupV2:       cgroups.Type == unix.CGROUP2_SUPER_MAGIC,
		KernelDefaults: kernelDefaults(os.ReadFile),
	}, nil
}

// memoryBytes is MemTotal of a /proc/meminfo (proc_meminfo(5)).
func memoryBytes(meminfo []byte) (uint64, error) {
	for line := range bytes.Lines(meminfo) {
		var kib uint64
		if n, _ := fmt.Sscanf(string(line), "MemTotal: %d kB", &kib); n == 1 {
			return kib << 10, nil
		}
	}
	return 0, errors.New("no MemTotal in /proc/meminfo")
}

// kernelDefaults reports whether every kernel setting that the kubelet checks
// (setupKernelTunables in k8s.io/kubernetes/pkg/kubelet/cm) is as it wants it.
func kernelDefaults(read func(path string) ([]byte, error)) bool {
	for path, want := range map[string]int{
		"/proc/sys/vm/overcommit_memory":      utilsysctl.VMOvercommitMemoryAlways,
		"/proc/sys/vm/panic_on_oom":           utilsysctl.VMPanicOnOOMInvokeOOMKiller,
		"/proc/sys/kernel/panic":              utilsysctl.KernelPanicRebootTimeout,
		"/proc/sys/kernel/panic_on_oops":      utilsysctl.KernelPanicOnOopsAlways,
		"/proc/sys/kernel/keys/root_maxkeys":  utilsysctl.RootMaxKeysSetting,
		"/proc/sys/kernel/keys/root_maxbytes": utilsysctl.RootMaxBytesSetting,
	} {
		content, err := read(path)
		if err != nil {
			return false
		}
		got, err := strconv.Atoi(string(bytes.TrimSpace(content)))
		if err != nil || got != want {
			return false
		}
	}
	return true
}
