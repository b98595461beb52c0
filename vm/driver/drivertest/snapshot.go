package drivertest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/vm/driver"
	"github.com/skiff-dev/skiff/vm/machine"
)

// startSnapshotter starts a machine whose guest is busy and whose disk has the mark "busy". It
// returns an empty directory that is in the file system of the machines. It skips the test if
// the driver cannot copy machines.
func startSnapshotter(t *testing.T, s Subject, name string) (driver.Snapshotter, string) {
	t.Helper()
	snapshotter, ok := s.Driver.(driver.Snapshotter)
	if !ok {
		t.Skip("the driver cannot copy machines")
	}
	startBusy(t, s, name)
	return snapshotter, tempDir(t)
}

// tempDir returns a directory that is in the file system of the machines, which have a short
// path.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "sk")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// snapshot copies a running machine, which continues.
func snapshot(t *testing.T, s Subject, snapshotter driver.Snapshotter, name, dir string) machine.Snapshot {
	t.Helper()
	ctx := t.Context()
	bytes, err := snapshotter.SnapshotBytes(ctx, name)
	must(t, "SnapshotBytes", err)
	must(t, "Precopy", snapshotter.Precopy(ctx, name, dir))
	wantState(t, s, name, machine.StateRunning)
	must(t, "Pause", s.Driver.Pause(ctx, name))
	began := time.Now()
	must(t, "Capture", snapshotter.Capture(ctx, name, dir))
	took := time.Since(began)
	wantState(t, s, name, machine.StatePaused)
	must(t, "Resume", s.Driver.Resume(ctx, name))
	described, err := snapshotter.Seal(ctx, name, dir)
	must(t, "Seal", err)
	if described.Bytes == 0 || bytes == 0 {
		t.Errorf("the copy takes %+v, at most %d bytes", described, bytes)
	}
	t.Logf("captured in %s: %+v", took.Round(time.Millisecond), described)
	return described
}

func testSnapshot(t *testing.T, s Subject) {
	ctx := t.Context()
	snapshotter, dir := startSnapshotter(t, s, "one")
	described := snapshot(t, s, snapshotter, "one", dir)
	works(t, s, "one")
	s.Write(t, "one", "later")
	again := tempDir(t)
	snapshot(t, s, snapshotter, "one", again) // a machine can be copied again
	wantMark(t, s, "one", "later")

	for range 2 {
		unpack(t, s, snapshotter, "one", dir, true)
		restart(t, s, "one", described.Memory)
		wantMark(t, s, "one", "busy")
		s.Write(t, "one", "changed")
	}
	must(t, "Delete", s.Driver.Delete(ctx, "one"))
	unpack(t, s, snapshotter, "one", again, false) // the machine does not exist any more
	restart(t, s, "one", false)
	wantMark(t, s, "one", "later")
	unpack(t, s, snapshotter, "one", again, true)
	restart(t, s, "one", described.Memory)
	wantMark(t, s, "one", "later")
	if described.Memory {
		works(t, s, "one") // the guest was busy
	}
}

// unpack replaces a machine by its copy, with its memory if that is set.
func unpack(t *testing.T, s Subject, snapshotter driver.Snapshotter, name, dir string, memory bool) {
	t.Helper()
	machines := filepath.Join(tempDir(t), "machines")
	must(t, "Unpack", snapshotter.Unpack(t.Context(), name, dir, machines, memory))
	must(t, "Stop", s.Driver.Stop(t.Context(), name))
	s.Replace(t, machines)
}

// restart lets a machine that was unpacked continue, or boots it if it has no memory.
func restart(t *testing.T, s Subject, name string, memory bool) {
	t.Helper()
	if !memory {
		wantState(t, s, name, machine.StateStopped)
		must(t, "Start", s.Driver.Start(t.Context(), s.Machine(name)))
		return
	}
	wantState(t, s, name, machine.StateSaved)
	must(t, "Wake", s.Driver.(driver.Saver).Wake(t.Context(), s.Machine(name)))
	wantState(t, s, name, machine.StateRunning)
}

func testSnapshotOfNone(t *testing.T, s Subject) {
	snapshotter, dir := startSnapshotter(t, s, "one")
	ctx := t.Context()
	_, err := snapshotter.SnapshotBytes(ctx, "two")
	wantError(t, "SnapshotBytes of an absent machine", err, driver.ErrNotFound)
	wantError(t, "Precopy of an absent machine", snapshotter.Precopy(ctx, "two", dir), driver.ErrNotFound)
	wantError(t, "Capture of an absent machine", snapshotter.Capture(ctx, "two", dir), driver.ErrNotFound)
	var damaged *driver.DamagedError
	if err := snapshotter.Unpack(ctx, "one", dir, filepath.Join(tempDir(t), "machines"), true); !errors.As(err, &damaged) {
		t.Errorf("Unpack of nothing = %v, want a DamagedError", err)
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if err := snapshotter.Precopy(canceled, "one", dir); err == nil {
		t.Error("Precopy with a cancelled context succeeded")
	}
	must(t, "Precopy", snapshotter.Precopy(ctx, "one", dir))
	if err := snapshotter.Capture(ctx, "one", dir); err == nil {
		t.Error("a running machine was captured")
	}
	must(t, "Pause", s.Driver.Pause(ctx, "one"))
	if err := snapshotter.Capture(canceled, "one", dir); err == nil {
		t.Error("Capture with a cancelled context succeeded")
	}
	must(t, "Resume", s.Driver.Resume(ctx, "one"))
	works(t, s, "one")
	must(t, "Stop", s.Driver.Stop(ctx, "one"))
	wantError(t, "Precopy of a stopped machine", snapshotter.Precopy(ctx, "one", dir), driver.ErrNotFound)
}
