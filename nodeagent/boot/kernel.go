package boot

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// sysctls are the kernel settings that Kubernetes requires: those that the kubelet's
// protectKernelDefaults checks, forwarding, and capacity for many watches.
var sysctls = map[string]string{
	"vm.overcommit_memory":                "1",
	"vm.panic_on_oom":                     "0",
	"vm.max_map_count":                    "262144",
	"kernel.panic":                        "10",
	"kernel.panic_on_oops":                "1",
	"kernel.keys.root_maxkeys":            "1000000",
	"kernel.keys.root_maxbytes":           "25000000",
	"kernel.pid_max":                      "4194304",
	"fs.inotify.max_user_watches":         "1048576",
	"fs.inotify.max_user_instances":       "8192",
	"net.ipv4.ip_forward":                 "1",
	"net.ipv6.conf.all.forwarding":        "1",
	"net.ipv6.conf.default.accept_ra":     "0",
	"net.ipv4.conf.all.rp_filter":         "0",
	"net.ipv4.conf.default.rp_filter":     "0",
	"net.ipv4.neigh.default.gc_thresh1":   "4096",
	"net.ipv4.neigh.default.gc_thresh2":   "8192",
	"net.ipv4.neigh.default.gc_thresh3":   "16384",
	"net.ipv4.ip_unprivileged_port_start": "0",
}

// moduleSysctls exist only after br_netfilter is loaded.
var moduleSysctls = map[string]string{
	"net.bridge.bridge-nf-call-iptables":  "1",
	"net.bridge.bridge-nf-call-ip6tables": "1",
}

// moduleListDir has the image's lists of modules, "cdrom" and "late", with a name
// per line.
const moduleListDir = "/usr/lib/skiff/modules"

func applySysctls(values map[string]string) error {
	var errs []error
	for name, value := range values {
		path := filepath.Join("/proc/sys", strings.ReplaceAll(name, ".", "/"))
		if err := os.WriteFile(path, []byte(value), 0); err != nil {
			errs = append(errs, fmt.Errorf("sysctl %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// setClock sets the clock if it is behind: certificates that the host has just
// issued must already be valid.
func setClock(atLeast time.Time) error {
	if !time.Now().Before(atLeast) {
		return nil
	}
	now := unix.NsecToTimespec(atLeast.UnixNano())
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &now); err != nil {
		return fmt.Errorf("set the clock: %w", err)
	}
	return nil
}
