package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// testConfinement checks what keeps pods from their node, and privileged pods on
// sandboxes from the host.
func testConfinement(t *testing.T, k *kube) {
	runtimes := k.kubectl(t, "get", "nodes", "-o", "jsonpath={.items[*].status.nodeInfo.containerRuntimeVersion}")
	if strings.Contains(runtimes, "unknown") {
		t.Errorf("container runtimes: %s", runtimes)
	}
	k.apply(t, "confinement.yaml")
	k.wait(t, "condition=Ready", "pod/ordinary", "pod/privileged")
	contains(t, "system calls of an ordinary pod", k.sh(t, "ordinary", "grep Seccomp: /proc/self/status"), "2")
	if k.sandboxed {
		k.hostSettings(t)
		return
	}
	if a := k.try(t, "exec", "ordinary", "--", "sh", "-c", "echo >/proc/sys/kernel/hostname"); a.code == 0 {
		t.Error("an ordinary pod writes to /proc/sys")
	}
}

// hostSettings writes settings of the host's kernel in a privileged pod on a
// sandbox. Each keeps its value.
func (k *kube) hostSettings(t *testing.T) {
	t.Helper()
	for setting, allowed := range map[string]bool{
		"kernel/core_pattern": false, "kernel/modprobe": false, "kernel/printk": false, "vm/swappiness": false,
		"vm/max_map_count": true, "net/ipv4/ip_forward": true, "kernel/shm_rmid_forced": true,
	} {
		line := fmt.Sprintf("cd /proc/sys && now=$(cat %s) && echo \"$now\" >%s", setting, setting)
		if a := k.try(t, "exec", "privileged", "--", "sh", "-c", line); (a.code == 0) != allowed {
			t.Errorf("write %s: exit code %d\n%s", setting, a.code, a.stderr)
		}
	}
}
