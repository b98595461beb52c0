package lima

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

func needsQEMU() bool { return true }

func installHint(arch string) string {
	if arch == "arm64" {
		return "on Debian and Ubuntu: sudo apt-get install qemu-system-arm qemu-utils"
	}
	return "on Debian and Ubuntu: sudo apt-get install qemu-system-x86 qemu-utils"
}

func prepare(config Config, accel Acceleration) (platform, error) {
	return qemuPlatform{}, environment(config, accel)
}

// commandLine of a process, arguments apart by NUL; empty if it is gone.
func commandLine(pid int) []byte {
	content, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return content
}

// proportional set size of a process in MiB (proc_pid_smaps_rollup, proc(5)).
func proportional(pid int) int {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0
	}
	lines := bufio.NewScanner(bytes.NewReader(content))
	for lines.Scan() {
		if fields := strings.Fields(lines.Text()); len(fields) >= 2 && fields[0] == "Pss:" {
			kib, _ := strconv.Atoi(fields[1])
			return kib >> 10
		}
	}
	return 0
}

// native is what runs guest code where no probe is needed.
func native(string) (Acceleration, bool) { return Acceleration{}, false }

// endWithUs lets the command die with this process.
func endWithUs(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
