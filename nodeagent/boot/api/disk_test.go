package api

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
)

// smallDisk is a Filler of a disk with a number of bytes, of which programs may free some.
func smallDisk(t *testing.T, size *atomic.Int64) *Filler {
	t.Helper()
	return &Filler{Dir: t.TempDir(), Allocate: func(f *os.File, offset, bytes int64) error {
		if offset+bytes > size.Load() {
			return unix.ENOSPC
		}
		return f.Truncate(offset + bytes)
	}}
}

func fillerSize(t *testing.T, f *Filler) int64 {
	t.Helper()
	info, err := os.Stat(filepath.Join(f.Dir, fillerName))
	if errors.Is(err, os.ErrNotExist) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func waitFor(t *testing.T, what string, check func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !check(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: it did not happen", what)
		}
	}
}

func TestDiskIsFullUntilItIsFreed(t *testing.T) {
	var size atomic.Int64
	size.Store(5<<20 + 6<<10)
	f := smallDisk(t, &size)
	if err := f.Fill(time.Hour); err != nil {
		t.Fatal(err)
	}
	if got := fillerSize(t, f); got != 5<<20+4<<10 {
		t.Errorf("%d bytes are used up", got)
	}
	size.Add(1 << 20) // a program frees some
	waitFor(t, "the disk is filled again", func() bool { return fillerSize(t, f) == 6<<20+4<<10 })
	for range 2 {
		if err := f.Free(); err != nil {
			t.Fatal(err)
		}
		if got := fillerSize(t, f); got != 0 {
			t.Errorf("%d bytes are used up after the end", got)
		}
	}
}

func TestDiskIsFreedWhenItsTimeIsOver(t *testing.T) {
	var size atomic.Int64
	size.Store(1 << 20)
	f := smallDisk(t, &size)
	if err := f.Fill(50 * time.Millisecond); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the disk is freed", func() bool { return fillerSize(t, f) == 0 })
}

func TestFillerOfAnEarlierProcessIsRemoved(t *testing.T) {
	f := &Filler{Dir: t.TempDir()}
	if err := os.WriteFile(filepath.Join(f.Dir, fillerName), []byte("left"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Free(); err != nil || fillerSize(t, f) != 0 {
		t.Errorf("%v, %d bytes", err, fillerSize(t, f))
	}
}

func TestDiskOfTheHostIsNotFilled(t *testing.T) {
	s := start(t)
	if code, text := s.do("POST", nodeapi.PathDisk, `{"fullSeconds":1}`); code != http.StatusUnprocessableEntity {
		t.Errorf("%d %s", code, text)
	}
	for _, body := range []string{`{"fullSeconds":-1}`, `{"fullSeconds":86401}`, `{"fullSeconds":"x"}`, `{"full":1}`, `nonsense`} {
		if code, _ := s.do("POST", nodeapi.PathDisk, body); code != http.StatusBadRequest {
			t.Errorf("%s: %d", body, code)
		}
	}
}
