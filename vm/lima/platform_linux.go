package lima

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func needsQEMU() bool { return true }

func installHint(arch string) string {
	if arch == "arm64" {
		return "on Debian and Ubuntu: sudo apt-get install qemu-system-arm qemu-utils"
	}
	return "on Debian and Ubuntu: sudo apt-get install qemu-system-x86 qemu-utils"
}

func prepare(ctx context.Context, config Config, accel Acceleration) (platform, error) {
	return qemuPlatform{}, environment(ctx, config, accel)
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

// ticksPerSecond is USER_HZ, in which the kernel tells processor time to
// programs; it is 100 on all that Linux runs on here.
const ticksPerSecond = 100

// processorTime that a process and its threads have had (proc_pid_stat(5)).
func processorTime(pid int) time.Duration {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The name, in parentheses, may hold anything; user and system time are the
	// 12th and 13th field after it.
	fields := strings.Fields(string(content[bytes.LastIndexByte(content, ')')+1:]))
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * (time.Second / ticksPerSecond)
}

// native is what runs guest code where no probe is needed.
func native(string) (Acceleration, bool) { return Acceleration{}, false }

// endWithUs lets the command die with this process.
func endWithUs(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
