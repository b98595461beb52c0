package network

import (
	"bytes"
	"log/slog"
	"os"
	"strconv"
	"time"
)

// minimumConntrack is how many connections a node can track at least. The kernel's
// default on a machine with 1 GiB is 8192, which a load test from one laptop
// exceeds.
const minimumConntrack = 65536

// How long a node tracks TCP connections: as upstream's service proxy. The kernel's
// own limits, five days for open ones and a minute for half-closed ones, fill the
// table or break a connection that its server still writes to.
const (
	establishedTimeout = 24 * time.Hour
	closeWaitTimeout   = time.Hour
)

// PrepareKernel changes the settings that pods' connections need. One that cannot be
// changed is only logged. The timeouts belong to the network namespace, so a
// sandbox does not change its host's.
func PrepareKernel(dual bool) {
	setAtLeast("/proc/sys/net/ipv4/ip_forward", 1)
	if dual {
		setAtLeast("/proc/sys/net/ipv6/conf/all/forwarding", 1)
	}
	setAtLeast("/proc/sys/net/netfilter/nf_conntrack_max", minimumConntrack)
	set("/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established", int(establishedTimeout.Seconds()))
	set("/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close_wait", int(closeWaitTimeout.Seconds()))
}

// setAtLeast raises a setting to a value.
func setAtLeast(path string, value int) {
	change(path, value, func(got int) bool { return got >= value })
}

// set sets a setting to a value.
func set(path string, value int) {
	change(path, value, func(got int) bool { return got == value })
}

func change(path string, value int, enough func(got int) bool) {
	content, err := os.ReadFile(path)
	if err != nil {
		slog.Warn("kernel setting not found", "path", path, "error", err)
		return
	}
	if got, err := strconv.Atoi(string(bytes.TrimSpace(content))); err == nil && enough(got) {
		return
	}
	if err := os.WriteFile(path, []byte(strconv.Itoa(value)), 0o644); err != nil {
		slog.Warn("cannot change a kernel setting", "path", path, "error", err)
	}
}
