package snapshot_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/skiff-dev/skiff/internal/snapshot"
	"github.com/skiff-dev/skiff/internal/snapshot/snapshottest"
)

func write(t testing.TB, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "snapshot.db")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestWholeSnapshotIsAccepted(t *testing.T) {
	content := snapshottest.Snapshot(t)
	info, err := snapshot.Verify(write(t, content))
	if err != nil {
		t.Fatal(err)
	}
	if info.Revision != 1000 || info.Bytes != int64(len(content)) || len(info.SHA256) != 64 {
		t.Errorf("%+v", info)
	}
}

func TestInvalidSnapshotsAreRefused(t *testing.T) {
	whole := snapshottest.Database(t, "key", 1000)
	noise := make([]byte, 1<<20)
	if _, err := rand.Read(noise); err != nil {
		t.Fatal(err)
	}
	flipped := snapshottest.Sign(whole)
	flipped[len(flipped)/2] ^= 1
	broken := bytes.Clone(whole) // with a valid checksum
	for i := 8192; i < len(broken)-8192; i++ {
		broken[i] = 0xa5
	}
	for name, content := range map[string][]byte{
		"empty":                        nil,
		"one byte":                     {0},
		"random bytes":                 noise,
		"random bytes with a checksum": snapshottest.Sign(noise),
		"a database without checksum":  whole,
		"a truncated snapshot":         snapshottest.Sign(whole)[:len(whole)/2],
		"a flipped bit":                flipped,
		"a truncated database with a valid checksum": snapshottest.Sign(whole[:len(whole)/2/512*512]),
		"damaged pages with a valid checksum":        snapshottest.Sign(broken),
		"a database of another program":              snapshottest.Sign(snapshottest.Database(t, "other", 1)),
	} {
		if info, err := snapshot.Verify(write(t, content)); !errors.Is(err, snapshot.ErrInvalid) {
			t.Errorf("%s: %+v, %v", name, info, err)
		}
	}
	if _, err := snapshot.Verify(filepath.Join(t.TempDir(), "absent")); err == nil || errors.Is(err, snapshot.ErrInvalid) {
		t.Errorf("a file that does not exist: %v", err)
	}
}

// FuzzDamagedDatabase damages one place of a database under a valid checksum:
// whatever Verify decides, it must return.
func FuzzDamagedDatabase(f *testing.F) {
	whole := snapshottest.Database(f, "key", 1000)
	f.Add(uint32(0), []byte{1})
	f.Add(uint32(8192), []byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, at uint32, patch []byte) {
		content := bytes.Clone(whole)
		copy(content[int(at)%len(content):], patch)
		info, err := snapshot.Verify(write(t, snapshottest.Sign(content)))
		if err != nil && !errors.Is(err, snapshot.ErrInvalid) {
			t.Errorf("%+v, %v", info, err)
		}
	})
}
