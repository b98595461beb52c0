package network

import (
	"bytes"
	"log/slog"
	"os"
	"strconv"
)

// minimumConntrack is how many connections a node can follow at least. The
// kernel's own default on a machine of 1 GiB is 8192, which a load test from
// one laptop exceeds.
const minimumConntrack = 65536

// prepareKernel sets what routing pods needs. A setting that cannot be changed
// is reported and left: where it matters, pods show it.
func prepareKernel() {
	setAtLeast("/proc/sys/net/ipv4/ip_forward", 1)
	setAtLeast("/proc/sys/net/netfilter/nf_conntrack_max", minimumConntrack)
}

func setAtLeast(path string, value int) {
	content, err := os.ReadFile(path)
	if err != nil {
		slog.Warn("kernel setting is not there", "path", path, "error", err)
		return
	}
	if got, err := strconv.Atoi(string(bytes.TrimSpace(content))); err == nil && got >= value {
		return
	}
	if err := os.WriteFile(path, []byte(strconv.Itoa(value)), 0o644); err != nil {
		slog.Warn("kernel setting could not be changed", "path", path, "error", err)
	}
}
