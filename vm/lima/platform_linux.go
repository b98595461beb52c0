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

// NoPause returns why machines cannot be paused; nil if they can.
func NoPause() error { return nil }

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

// commandLine returns the command line of a process, with arguments separated by
// NUL; empty if there is no such process.
func commandLine(pid int) []byte {
	content, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return content
}

// proportionalMiB returns the proportional set size of a process (smaps_rollup,
// proc(5)); 0 if it is unknown.
func proportionalMiB(pid int) int {
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

// ticksPerSecond is USER_HZ, the unit in which the kernel reports CPU time. It is
// 100 on all architectures that are supported here.
const ticksPerSecond = 100

// cpuTime returns the CPU time of a process and its threads (proc_pid_stat(5)); 0 if
// it is unknown.
func cpuTime(pid int) time.Duration {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The name, in parentheses, may contain anything. User and system time are the
	// 12th and 13th field after it.
	fields := strings.Fields(string(content[bytes.LastIndexByte(content, ')')+1:]))
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * (time.Second / ticksPerSecond)
}

// native returns what runs guest code if that is known without a probe.
func native(string) (Acceleration, bool) { return Acceleration{}, false }

// dieWithUs makes the command die with this process.
func dieWithUs(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
