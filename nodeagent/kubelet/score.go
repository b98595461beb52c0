package kubelet

import (
	"os"
	"strconv"
	"strings"
)

// ownScore is the OOM score of the own process (proc_pid_oom_score_adj(5)).
const ownScore = "/proc/self/oom_score_adj"

// allowedScore sets the OOM score in a file, and returns it, or what is there if the kernel
// refuses to lower it, as it does in a container without CAP_SYS_RESOURCE. Upstream's kubelet
// would try twice and wait for 100 ms after each.
func allowedScore(path string, wanted int32) int32 {
	if os.WriteFile(path, []byte(strconv.Itoa(int(wanted))), 0o600) == nil {
		return wanted
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return wanted
	}
	present, err := strconv.ParseInt(strings.TrimSpace(string(content)), 10, 32)
	if err != nil {
		return wanted
	}
	return int32(present)
}
