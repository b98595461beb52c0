package network

import (
	"bytes"
	"log/slog"
	"os"
	"strconv"
)

// minimumConntrack is how many connections a node can track at least. The kernel's
// default on a machine with 1 GiB is 8192, which a load test from one laptop
// exceeds.
const minimumConntrack = 65536

// prepareKernel changes the settings that pods' connections need. One that cannot be
// changed is only logged.
func prepareKernel() {
	setAtLeast("/proc/sys/net/ipv4/ip_forward", 1)
	setAtLeast("/proc/sys/net/netfilter/nf_conntrack_max", minimumConntrack)
}

func setAtLeast(path string, value int) {
	content, err := os.ReadFile(path)
	if err != nil {
		slog.Warn("kernel setting not found", "path", path, "error", err)
		return
	}
	if got, err := strconv.Atoi(string(bytes.TrimSpace(content))); err == nil && got >= value {
		return
	}
	if err := os.WriteFile(path, []byte(strconv.Itoa(value)), 0o644); err != nil {
		slog.Warn("cannot change a kernel setting", "path", path, "error", err)
	}
}
