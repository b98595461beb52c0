package owner_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/skiff-dev/skiff/internal/owner"
)

func TestDirectoriesBelongToTheOwnerOfTheirParent(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	home := t.TempDir()
	if err := os.Chown(home, 12345, 12346); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(home, ".skiff", "clusters")
	for range 2 {
		if err := owner.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{filepath.Dir(dir), dir} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if stat := info.Sys().(*syscall.Stat_t); stat.Uid != 12345 || stat.Gid != 12346 || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %d:%d, %v", path, stat.Uid, stat.Gid, info.Mode())
		}
	}
}
