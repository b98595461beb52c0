package lima

import (
	"os"
	"testing"
	"time"
)

func TestProcessorTimeGrowsWithWork(t *testing.T) {
	before := cpuTime(os.Getpid())
	for deadline := time.Now().Add(time.Minute); cpuTime(os.Getpid()) == before; {
		if time.Now().After(deadline) {
			t.Fatalf("it stays %s", before)
		}
	}
	if got := cpuTime(-1); got != 0 {
		t.Errorf("no process has taken %s", got)
	}
}
