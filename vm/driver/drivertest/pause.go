package drivertest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/vm/driver"
	"github.com/skiff-dev/skiff/vm/machine"
)

// A paused machine is observed for pauseWatch and may use at most pauseCPU of CPU
// time, because what runs it on the host may still handle timers.
const (
	pauseWatch = time.Second
	pauseCPU   = pauseWatch / 20
)

// workLimit is how long it may take until the CPU time of a busy guest shows.
const workLimit = time.Minute

func testPause(t *testing.T, s Subject) {
	ctx := t.Context()
	startBusy(t, s, "one")
	for range 2 {
		must(t, "Pause", s.Driver.Pause(ctx, "one"))
		wantState(t, s, "one", machine.StatePaused)
	}
	before := usage(t, s, "one")
	if before.Started.IsZero() || before.DiskBytes == 0 {
		t.Fatalf("usage of a paused machine = %+v, want start and disk", before)
	}
	must(t, "Start of a paused machine", s.Driver.Start(ctx, s.Machine("one")))
	must(t, "Reseed of a paused machine", s.Driver.Reseed(ctx, "one", s.Machine("one").Seed))
	waiting, cancel := context.WithTimeout(ctx, pauseWatch)
	defer cancel()
	wantError(t, "Wait", s.Driver.Wait(waiting, "one"), context.DeadlineExceeded)
	wantState(t, s, "one", machine.StatePaused)
	if took := usage(t, s, "one").CPU - before.CPU; took > pauseCPU {
		t.Errorf("a paused machine used %s of CPU time in %s", took, pauseWatch)
	}
	for range 2 {
		must(t, "Resume", s.Driver.Resume(ctx, "one"))
		wantState(t, s, "one", machine.StateRunning)
	}
	if after := usage(t, s, "one"); !after.Started.Equal(before.Started) {
		t.Errorf("a resumed machine started at %s, was started at %s", after.Started, before.Started)
	}
	works(t, s, "one")
	wantMark(t, s, "one", "busy")
}

func testPauseOfNone(t *testing.T, s Subject) {
	ctx := t.Context()
	for what, call := range map[string]func(context.Context, string) error{"Pause": s.Driver.Pause, "Resume": s.Driver.Resume} {
		wantError(t, what+" of an absent machine", call(ctx, "one"), driver.ErrNotFound)
	}
	must(t, "Create", s.Driver.Create(ctx, s.Machine("one")))
	wantError(t, "Pause of a stopped machine", s.Driver.Pause(ctx, "one"), driver.ErrNotFound)
	wantError(t, "Resume of a stopped machine", s.Driver.Resume(ctx, "one"), driver.ErrNotFound)
	must(t, "Start", s.Driver.Start(ctx, s.Machine("one")))
	s.Crash(t, "one")
	_ = s.Driver.Wait(ctx, "one")
	wantError(t, "Pause of a machine that ended", s.Driver.Pause(ctx, "one"), driver.ErrNotFound)
	must(t, "Start", s.Driver.Start(ctx, s.Machine("one")))
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if err := s.Driver.Pause(canceled, "one"); err == nil {
		t.Fatal("Pause with a cancelled context succeeded")
	}
	wantState(t, s, "one", machine.StateRunning)
}

func testPauseAndStop(t *testing.T, s Subject) {
	ctx := t.Context()
	startBusy(t, s, "one")
	must(t, "Pause", s.Driver.Pause(ctx, "one"))
	must(t, "Stop of a paused machine", s.Driver.Stop(ctx, "one"))
	wantState(t, s, "one", machine.StateStopped)
	wantError(t, "Wait after Stop", s.Driver.Wait(ctx, "one"), driver.ErrNotFound)
	must(t, "Start", s.Driver.Start(ctx, s.Machine("one")))
	wantState(t, s, "one", machine.StateRunning)
	wantMark(t, s, "one", "busy")
	must(t, "Pause", s.Driver.Pause(ctx, "one"))
	must(t, "Delete of a paused machine", s.Driver.Delete(ctx, "one"))
	wantState(t, s, "one", machine.StateAbsent)
}

func testPauseAndClose(t *testing.T, s Subject) {
	for _, name := range []string{"one", "two"} {
		startBusy(t, s, name)
	}
	must(t, "Pause", s.Driver.Pause(t.Context(), "one"))
	wantState(t, s, "two", machine.StateRunning)
	must(t, "Close", s.Driver.Close())
	wantState(t, s, "one", machine.StateStopped)
	wantState(t, s, "two", machine.StateStopped)
}

// startBusy starts a machine whose guest is busy. It skips the test if the driver
// cannot pause machines.
func startBusy(t *testing.T, s Subject, name string) {
	t.Helper()
	must(t, "Create", s.Driver.Create(t.Context(), s.Machine(name)))
	must(t, "Start", s.Driver.Start(t.Context(), s.Machine(name)))
	if err := s.Driver.Pause(t.Context(), name); errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	must(t, "Resume", s.Driver.Resume(t.Context(), name))
	s.Write(t, name, "busy")
	s.Busy(t, name)
	works(t, s, name)
}

// works returns when a busy guest has used CPU time, where that can be measured.
func works(t *testing.T, s Subject, name string) {
	t.Helper()
	before := usage(t, s, name).CPU
	for deadline := time.Now().Add(workLimit); before > 0 && usage(t, s, name).CPU < before+2*pauseCPU; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s used no CPU time in %s", name, workLimit)
		}
	}
}

func usage(t *testing.T, s Subject, name string) machine.Usage {
	t.Helper()
	usage, err := s.Driver.Usage(t.Context(), name)
	must(t, "Usage", err)
	return usage
}
