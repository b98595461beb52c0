package lima_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/skiff-dev/skiff/vm/driver"
	"github.com/skiff-dev/skiff/vm/driver/drivertest"
	"github.com/skiff-dev/skiff/vm/driver/nodetest"
	"github.com/skiff-dev/skiff/vm/lima"
)

// TestMain lets the test binary stand in for skiff as QEMU's wrapper.
func TestMain(m *testing.M) {
	if lima.IsQEMU(os.Args[0]) {
		fmt.Fprintln(os.Stderr, lima.ExecQEMU(os.Args))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// TestLimaKeepsTheContract boots the real node image, which takes minutes under
// emulation.
func TestLimaKeepsTheContract(t *testing.T) {
	if os.Getenv("SKIFF_VM_TESTS") == "" {
		t.Skip("set SKIFF_VM_TESTS=1 to boot virtual machines")
	}
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	img := nodetest.Image(t)
	drivertest.Run(t, func(t *testing.T) drivertest.Subject {
		r := nodetest.New(t, img, func(ctx context.Context, dir, socket string) (driver.Driver, error) {
			return lima.New(ctx, lima.Config{
				Dir: dir, Network: socket, Cache: filepath.Join(os.TempDir(), "skiff-test-cache"),
				Image: img, Executable: executable,
			})
		})
		subject := r.Subject(func(t *testing.T, name string) { nodetest.Kill(t, filepath.Join(r.Dir, name, "qemu.pid")) })
		subject.Damage = func(t *testing.T, name string) { damage(t, filepath.Join(r.Dir, name, "saved.memory")) }
		return subject
	})
}

// damage changes one byte of a page that has data.
func damage(t *testing.T, path string) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	page := make([]byte, 4096)
	for at := int64(0); ; at += int64(len(page)) {
		if _, err := file.ReadAt(page, at); err != nil {
			t.Fatal(err)
		}
		if i := bytes.IndexFunc(page, func(r rune) bool { return r != 0 }); i >= 0 {
			if _, err := file.WriteAt([]byte{page[i] + 1}, at+int64(i)); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
}
