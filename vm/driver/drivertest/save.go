package drivertest

import (
	"context"
	"errors"
	"testing"

	"github.com/skiff-dev/skiff/vm/driver"
	"github.com/skiff-dev/skiff/vm/machine"
)

// startSaver starts a machine whose guest is busy. It skips the test if the driver cannot
// save machines.
func startSaver(t *testing.T, s Subject, name string) driver.Saver {
	t.Helper()
	saver, ok := s.Driver.(driver.Saver)
	if !ok {
		t.Skip("the driver cannot save machines")
	}
	startBusy(t, s, name)
	if _, err := saver.CanSave(t.Context(), name); errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	return saver
}

// save saves a running machine and stops its process.
func save(t *testing.T, s Subject, saver driver.Saver, name string) {
	t.Helper()
	must(t, "Pause", s.Driver.Pause(t.Context(), name))
	for range 2 {
		must(t, "Save", saver.Save(t.Context(), name))
		wantState(t, s, name, machine.StatePaused)
	}
	must(t, "Stop", s.Driver.Stop(t.Context(), name))
	wantState(t, s, name, machine.StateSaved)
}

func testSave(t *testing.T, s Subject) {
	ctx := t.Context()
	saver := startSaver(t, s, "one")
	m := s.Machine("one")
	for range 2 { // a machine that was woken can be saved again
		save(t, s, saver, "one")
		described, err := saver.Saved("one")
		must(t, "Saved", err)
		if described.Time.IsZero() || described.Bytes == 0 || described.CPUs != m.CPUs || described.MemoryMiB != m.MemoryMiB {
			t.Errorf("saved %+v", described)
		}
		wantError(t, "Wait", s.Driver.Wait(ctx, "one"), driver.ErrNotFound)
		if saved := usage(t, s, "one"); !saved.Started.IsZero() || saved.CPU != 0 {
			t.Errorf("usage of a saved machine = %+v", saved)
		}
		must(t, "Wake", saver.Wake(ctx, s.Machine("one")))
		wantState(t, s, "one", machine.StateRunning)
		works(t, s, "one")
		wantMark(t, s, "one", "busy")
	}
	must(t, "Pause of a woken machine", s.Driver.Pause(ctx, "one"))
	must(t, "Resume of a woken machine", s.Driver.Resume(ctx, "one"))
	s.Crash(t, "one")
	var exit *driver.ExitError
	if err := s.Driver.Wait(ctx, "one"); !errors.As(err, &exit) {
		t.Errorf("Wait of a woken machine = %v, want an ExitError", err)
	}
	wantState(t, s, "one", machine.StateStopped)
}

func testSaveOfNone(t *testing.T, s Subject) {
	saver := startSaver(t, s, "one")
	ctx := t.Context()
	if err := saver.Save(ctx, "one"); err == nil {
		t.Error("a running machine was saved")
	}
	wantState(t, s, "one", machine.StateRunning)
	_, err := saver.Saved("one")
	wantError(t, "Saved of a running machine", err, driver.ErrNotFound)
	wantError(t, "Save of an absent machine", saver.Save(ctx, "two"), driver.ErrNotFound)
	wantError(t, "Wake of an absent machine", saver.Wake(ctx, s.Machine("two")), driver.ErrNotFound)
	wantError(t, "Wake of a running machine", saver.Wake(ctx, s.Machine("one")), driver.ErrNotFound)
	must(t, "Discard of an absent machine", saver.Discard(ctx, "two"))
	must(t, "Pause", s.Driver.Pause(ctx, "one"))
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if err := saver.Save(canceled, "one"); err == nil {
		t.Error("Save with a cancelled context succeeded")
	}
	must(t, "Resume after a failed Save", s.Driver.Resume(ctx, "one"))
	works(t, s, "one")
	must(t, "Stop", s.Driver.Stop(ctx, "one"))
	wantState(t, s, "one", machine.StateStopped)
	wantError(t, "Wake of a stopped machine", saver.Wake(ctx, s.Machine("one")), driver.ErrNotFound)
}

func testSaveOnce(t *testing.T, s Subject) {
	ctx := t.Context()
	saver := startSaver(t, s, "one")
	save(t, s, saver, "one")
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if err := saver.Wake(canceled, s.Machine("one")); err == nil {
		t.Fatal("Wake with a cancelled context succeeded")
	}
	wantState(t, s, "one", machine.StateSaved)
	must(t, "Wake", saver.Wake(ctx, s.Machine("one")))
	must(t, "Stop", s.Driver.Stop(ctx, "one"))
	wantState(t, s, "one", machine.StateStopped)
	wantError(t, "second Wake", saver.Wake(ctx, s.Machine("one")), driver.ErrNotFound)
	must(t, "Start", s.Driver.Start(ctx, s.Machine("one")))
	wantMark(t, s, "one", "busy")
	must(t, "Pause", s.Driver.Pause(ctx, "one"))
	must(t, "Save", saver.Save(ctx, "one"))
	must(t, "Close", s.Driver.Close())
	wantState(t, s, "one", machine.StateSaved)
	must(t, "Delete", s.Driver.Delete(ctx, "one"))
	wantState(t, s, "one", machine.StateAbsent)
	must(t, "Create", s.Driver.Create(ctx, s.Machine("one")))
	wantState(t, s, "one", machine.StateStopped)
}

func testSaveAndStart(t *testing.T, s Subject) {
	ctx := t.Context()
	saver := startSaver(t, s, "one")
	must(t, "Pause", s.Driver.Pause(ctx, "one"))
	must(t, "Save", saver.Save(ctx, "one"))
	must(t, "Resume of a saved machine", s.Driver.Resume(ctx, "one"))
	works(t, s, "one")
	must(t, "Stop", s.Driver.Stop(ctx, "one"))
	wantState(t, s, "one", machine.StateStopped)

	must(t, "Start", s.Driver.Start(ctx, s.Machine("one")))
	wantMark(t, s, "one", "busy")
	save(t, s, saver, "one")
	must(t, "Start of a saved machine", s.Driver.Start(ctx, s.Machine("one")))
	wantMark(t, s, "one", "busy")
	must(t, "Stop", s.Driver.Stop(ctx, "one"))
	wantState(t, s, "one", machine.StateStopped)

	must(t, "Start", s.Driver.Start(ctx, s.Machine("one")))
	wantMark(t, s, "one", "busy")
	save(t, s, saver, "one")
	must(t, "Grow of a saved machine", s.Driver.Grow(ctx, "one", s.Machine("one").DiskMiB+1024))
	wantState(t, s, "one", machine.StateStopped)
}

func testSaveUnusable(t *testing.T, s Subject) {
	ctx := t.Context()
	saver := startSaver(t, s, "one")
	save(t, s, saver, "one")
	larger, other := s.Machine("one"), s.Machine("one")
	larger.MemoryMiB += 128
	other.Settings = "other"
	for _, m := range []machine.Machine{larger, other} {
		wantUnusable(t, s, saver, m)
	}
	s.Damage(t, "one")
	wantUnusable(t, s, saver, s.Machine("one"))
	for range 2 {
		must(t, "Discard", saver.Discard(ctx, "one"))
		wantState(t, s, "one", machine.StateStopped)
	}
	_, err := saver.Saved("one")
	wantError(t, "Saved after Discard", err, driver.ErrNotFound)
	must(t, "Start", s.Driver.Start(ctx, s.Machine("one")))
	wantMark(t, s, "one", "busy")
}

func testSaveInherited(t *testing.T, s Subject) {
	ctx := t.Context()
	saver := startSaver(t, s, "one")
	must(t, "Stop", s.Driver.Stop(ctx, "one"))
	first, second := s.Machine("one"), s.Machine("one")
	first.Settings, second.Settings, second.Inherited = "first", "second", "first"
	must(t, "Start", s.Driver.Start(ctx, first))
	wantMark(t, s, "one", "busy")
	save(t, s, saver, "one")
	must(t, "Wake of a machine that inherits the settings", saver.Wake(ctx, second))
	works(t, s, "one")
	save(t, s, saver, "one")
	wantUnusable(t, s, saver, first) // it was saved with its own
	must(t, "Wake", saver.Wake(ctx, second))
	works(t, s, "one")
}

func wantUnusable(t *testing.T, s Subject, saver driver.Saver, m machine.Machine) {
	t.Helper()
	var unusable *driver.UnusableError
	if err := saver.Wake(t.Context(), m); !errors.As(err, &unusable) || unusable.Reason == "" {
		t.Fatalf("Wake = %v, want an UnusableError with a reason", err)
	}
	wantState(t, s, m.Name, machine.StateSaved)
}
