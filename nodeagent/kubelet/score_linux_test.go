package kubelet

import (
	"os"
	"path/filepath"
	"testing"
)

func TestTheScoreIsThePresentOneIfItCannotBeSet(t *testing.T) {
	writable := filepath.Join(t.TempDir(), "oom_score_adj")
	if got := allowedScore(writable, -999); got != -999 {
		t.Errorf("a score that can be set: %d", got)
	}
	if content, err := os.ReadFile(writable); err != nil || string(content) != "-999" {
		t.Errorf("written: %q, %v", content, err)
	}
	// A number that nobody can write, not even root (proc_sys_kernel(5)).
	const constant = "/proc/sys/kernel/ngroups_max"
	if got := allowedScore(constant, -999); got != 65536 {
		t.Errorf("a score that cannot be set: %d", got)
	}
	if got := allowedScore(filepath.Join(t.TempDir(), "missing", "file"), -999); got != -999 {
		t.Errorf("no score at all: %d", got)
	}
}
