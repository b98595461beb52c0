package kubelet

import (
	"bytes"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
	utilsysctl "k8s.io/component-helpers/node/util/sysctl"

	"github.com/skiff-dev/skiff/internal/meminfo"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// ReadMachine inspects the machine that the agent runs on.
func ReadMachine() (Machine, error) {
	memory, err := meminfo.Read()
	if err != nil {
		return Machine{}, err
	}
	var cgroups unix.Statfs_t
	if err := unix.Statfs("/sys/fs/cgroup", &cgroups); err != nil {
		return Machine{}, fmt.Errorf("determine the cgroup version: %w", err)
	}
	return Machine{
		MemoryBytes:    memory.TotalBytes,
		CgroupV2:       cgroups.Type == unix.CGROUP2_SUPER_MAGIC,
		KernelDefaults: kernelDefaults(os.ReadFile),
		SharedDisk:     os.Getenv(nodeconfig.SandboxVariable) == nodeconfig.SandboxValue,
	}, nil
}

// kernelDefaults reports whether every kernel setting that the kubelet checks
// (setupKernelTunables in k8s.io/kubernetes/pkg/kubelet/cm) has the value that it
// wants.
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
