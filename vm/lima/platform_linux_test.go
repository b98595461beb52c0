package lima

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/lima-vm/lima/v2/pkg/limatype/filenames"
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

// TestACopyOfARootDiskElsewhereNeedsNothingFromBefore copies a machine's disk, as a snapshot and a
// clone do, and removes the directory that it was made in.
func TestACopyOfARootDiskElsewhereNeedsNothingFromBefore(t *testing.T) {
	if _, err := exec.LookPath("qemu-img"); err != nil {
		t.Skip("qemu-img is missing")
	}
	root := filepath.Join(t.TempDir(), "root.erofs")
	if err := os.WriteFile(root, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	old, copied := t.TempDir(), t.TempDir()
	disk, moved := filepath.Join(old, filenames.Disk), filepath.Join(copied, filenames.Disk)
	if err := (qemuPlatform{}).createRoot(t.Context(), root, disk); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(disk, moved); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(old); err != nil {
		t.Fatal(err)
	}
	if err := (qemuPlatform{}).linkRoot(root, moved); err != nil {
		t.Fatal(err)
	}
	if err := qemuImage(t.Context(), "convert", "-O", "raw", moved, filepath.Join(copied, "content")); err != nil {
		t.Error(err)
	}
}
