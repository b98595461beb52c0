package main

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// mayLowerOOMScores reports whether sandboxes on this host may lower the OOM scores
// of containers.
func mayLowerOOMScores() bool {
	status, err := os.ReadFile("/proc/self/status")
	return err == nil && hasCapability(string(status), capSysResource)
}

// capSysResource is the bit of CAP_SYS_RESOURCE (capabilities(7)).
const capSysResource = 24

// hasCapability reports whether a process with this status (proc_pid_status(5)) has
// a capability.
func hasCapability(status string, bit uint) bool {
	for line := range strings.Lines(status) {
		if mask, ok := strings.CutPrefix(line, "CapEff:"); ok {
			set, err := strconv.ParseUint(strings.TrimSpace(mask), 16, 64)
			return err == nil && set&(1<<bit) != 0
		}
	}
	return false
}

// hasDummyInterfaces reports whether this host's kernel has interfaces of type dummy.
func hasDummyInterfaces() bool {
	return exec.Command("unshare", "--net", "ip", "link", "add", "dummy0", "type", "dummy").Run() == nil
}
