// Package drivertest is the test suite that every driver must pass.
package drivertest

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/vm/driver"
	"github.com/skiff-dev/skiff/vm/machine"
)

// Subject is a driver under test, with what the suite cannot do through the
// contract.
type Subject struct {
	Driver driver.Driver
	// Machine returns a machine that can be created.
	Machine func(name string) machine.Machine
	// Crash kills a running machine's process.
	Crash func(t *testing.T, name string)
	// Write writes a mark to a running machine's own disk, Read returns it.
	Write func(t *testing.T, name, mark string)
	Read  func(t *testing.T, name string) string
	// PowerOff has the guest turn itself off.
	PowerOff func(t *testing.T, name string)
	// Busy makes the guest use CPU until it ends.
	Busy func(t *testing.T, name string)
	// Damage changes a byte of the memory of a saved machine. It is needed for drivers that
	// can save machines.
	Damage func(t *testing.T, name string)
	// Replace puts the machines that Unpack made below a directory in the place of the
	// driver's machines of the same names, which have no process. It is needed for drivers
	// that can copy machines.
	Replace func(t *testing.T, machines string)
}

// Run runs the suite. fresh returns a driver without machines, which it closes at
// the end of the test.
func Run(t *testing.T, fresh func(t *testing.T) Subject) {
	for name, test := range map[string]func(*testing.T, Subject){
		"an absent machine is not found":                   testAbsent,
		"create is idempotent and keeps the disk":          testCreate,
		"a disk grows and keeps its content":               testGrow,
		"start, stop and delete are idempotent":            testTwice,
		"the disk survives stop and start":                 testDisk,
		"wait returns how a machine ended by itself":       testWait,
		"wait of a guest that turned itself off is nil":    testPowerOff,
		"wait ends with its context":                       testWaitContext,
		"a machine that ended can be started again":        testRestart,
		"two machines run concurrently and end separately": testTwo,
		"a machine outlives the context of its start":      testContext,
		"a start with a cancelled context starts nothing":  testCanceled,
		"close stops all machines and keeps their disks":   testClose,
		"usage counts the disk, and memory while running":  testUsage,
		"the seed can be replaced at any time":             testReseed,
		"a paused machine uses no CPU until it is resumed": testPause,
		"only a machine with a process can be paused":      testPauseOfNone,
		"a paused machine can be stopped and deleted":      testPauseAndStop,
		"close stops paused machines":                      testPauseAndClose,
		"a saved machine continues where it was":           testSave,
		"only a paused machine can be saved":               testSaveOfNone,
		"saved memory is used once":                        testSaveOnce,
		"saved memory does not survive a start or resume":  testSaveAndStart,
		"unusable memory is refused and kept":              testSaveUnusable,
		"memory of another cluster can be continued with":  testSaveInherited,
		"a copy of a machine is what it was, every time":   testSnapshot,
		"only a paused machine can be captured":            testSnapshotOfNone,
	} {
		t.Run(name, func(t *testing.T) { test(t, fresh(t)) })
	}
}

func testAbsent(t *testing.T, s Subject) {
	ctx := t.Context()
	m := s.Machine("one")
	wantState(t, s, "one", machine.StateAbsent)
	wantError(t, "Start", s.Driver.Start(ctx, m), driver.ErrNotFound)
	wantError(t, "Wait", s.Driver.Wait(ctx, "one"), driver.ErrNotFound)
	_, err := s.Driver.Usage(ctx, "one")
	wantError(t, "Usage", err, driver.ErrNotFound)
	must(t, "Stop", s.Driver.Stop(ctx, "one"))
	must(t, "Delete", s.Driver.Delete(ctx, "one"))
}

func testCreate(t *testing.T, s Subject) {
	ctx := t.Context()
	m := s.Machine("one")
	must(t, "Create", s.Driver.Create(ctx, m))
	wantState(t, s, "one", machine.StateStopped)
	must(t, "Start", s.Driver.Start(ctx, m))
	s.Write(t, "one", "kept")
	must(t, "Stop", s.Driver.Stop(ctx, "one"))
	must(t, "second Create", s.Driver.Create(ctx, m))
	must(t, "Start", s.Driver.Start(ctx, m))
	wantMark(t, s, "one", "kept")
}

func testGrow(t *testing.T, s Subject) {
	ctx := t.Context()
	m := s.Machine("one")
	wantError(t, "Grow of an absent machine", s.Driver.Grow(ctx, "one", 2*m.DiskMiB), driver.ErrNotFound)
	must(t, "Create", s.Driver.Create(ctx, m))
	must(t, "Start", s.Driver.Start(ctx, m))
	s.Write(t, "one", "kept")
	if err := s.Driver.Grow(ctx, "one", m.DiskMiB+1024); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		t.Fatalf("Grow of a running machine: %v", err)
	}
	wantState(t, s, "one", machine.StateRunning)
	wantMark(t, s, "one", "kept")
	must(t, "Stop", s.Driver.Stop(ctx, "one"))
	for _, size := range []int{m.DiskMiB + 2048, m.DiskMiB + 2048, m.DiskMiB} {
		must(t, "Grow of a stopped machine", s.Driver.Grow(ctx, "one", size))
	}
	m.DiskMiB += 2048
	must(t, "Start", s.Driver.Start(ctx, m))
	wantMark(t, s, "one", "kept")
}

func testTwice(t *testing.T, s Subject) {
	ctx := t.Context()
	m := s.Machine("one")
	must(t, "Create", s.Driver.Create(ctx, m))
	for range 2 {
		must(t, "Start", s.Driver.Start(ctx, m))
		wantState(t, s, "one", machine.StateRunning)
	}
	for range 2 {
		must(t, "Stop", s.Driver.Stop(ctx, "one"))
		wantState(t, s, "one", machine.StateStopped)
	}
	wantError(t, "Wait after Stop", s.Driver.Wait(ctx, "one"), driver.ErrNotFound)
	for range 2 {
		must(t, "Delete", s.Driver.Delete(ctx, "one"))
		wantState(t, s, "one", machine.StateAbsent)
	}
	must(t, "Create", s.Driver.Create(ctx, m))
	must(t, "Start", s.Driver.Start(ctx, m))
	must(t, "Delete of a running machine", s.Driver.Delete(ctx, "one"))
	wantState(t, s, "one", machine.StateAbsent)
}

func testDisk(t *testing.T, s Subject) {
	ctx := t.Context()
	m := s.Machine("one")
	must(t, "Create", s.Driver.Create(ctx, m))
	must(t, "Start", s.Driver.Start(ctx, m))
	wantMark(t, s, "one", "")
	s.Write(t, "one", "written")
	must(t, "Stop", s.Driver.Stop(ctx, "one"))
	must(t, "Start", s.Driver.Start(ctx, m))
	wantMark(t, s, "one", "written")
	must(t, "Delete", s.Driver.Delete(ctx, "one"))
	must(t, "Create", s.Driver.Create(ctx, m))
	must(t, "Start", s.Driver.Start(ctx, m))
	wantMark(t, s, "one", "")
}

func testWait(t *testing.T, s Subject) {
	ctx := t.Context()
	m := s.Machine("one")
	must(t, "Create", s.Driver.Create(ctx, m))
	must(t, "Start", s.Driver.Start(ctx, m))
	ended := make(chan error, 1)
	go func() { ended <- s.Driver.Wait(ctx, "one") }()
	s.Crash(t, "one")
	var exit *driver.ExitError
	if err := <-ended; !errors.As(err, &exit) || exit.Reason == "" {
		t.Fatalf("Wait = %v, want an ExitError with a reason", err)
	}
	wantState(t, s, "one", machine.StateStopped)
	if err := s.Driver.Wait(ctx, "one"); !errors.As(err, &exit) {
		t.Fatalf("second Wait = %v, want the same ExitError", err)
	}
	must(t, "Stop", s.Driver.Stop(ctx, "one"))
	wantError(t, "Wait after Stop", s.Driver.Wait(ctx, "one"), driver.ErrNotFound)
}

func testPowerOff(t *testing.T, s Subject) {
	m := s.Machine("one")
	must(t, "Create", s.Driver.Create(t.Context(), m))
	must(t, "Start", s.Driver.Start(t.Context(), m))
	s.PowerOff(t, "one")
	must(t, "Wait", s.Driver.Wait(t.Context(), "one"))
	wantState(t, s, "one", machine.StateStopped)
}

func testWaitContext(t *testing.T, s Subject) {
	m := s.Machine("one")
	must(t, "Create", s.Driver.Create(t.Context(), m))
	must(t, "Start", s.Driver.Start(t.Context(), m))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	wantError(t, "Wait", s.Driver.Wait(ctx, "one"), context.DeadlineExceeded)
	wantState(t, s, "one", machine.StateRunning)
}

func testRestart(t *testing.T, s Subject) {
	ctx := t.Context()
	m := s.Machine("one")
	must(t, "Create", s.Driver.Create(ctx, m))
	must(t, "Start", s.Driver.Start(ctx, m))
	s.Write(t, "one", "before")
	s.Crash(t, "one")
	_ = s.Driver.Wait(ctx, "one")
	must(t, "Start after a crash", s.Driver.Start(ctx, m))
	wantState(t, s, "one", machine.StateRunning)
	wantMark(t, s, "one", "before")
}

func testTwo(t *testing.T, s Subject) {
	ctx := t.Context()
	started := make(chan error, 2)
	for _, name := range []string{"one", "two"} {
		go func() {
			m := s.Machine(name)
			err := s.Driver.Create(ctx, m)
			if err == nil {
				err = s.Driver.Start(ctx, m)
			}
			started <- err
		}()
	}
	must(t, "Start", <-started)
	must(t, "Start", <-started)
	s.Write(t, "one", "first")
	s.Write(t, "two", "second")
	wantMark(t, s, "one", "first")
	wantMark(t, s, "two", "second")
	s.Crash(t, "one")
	_ = s.Driver.Wait(ctx, "one")
	wantState(t, s, "one", machine.StateStopped)
	wantState(t, s, "two", machine.StateRunning)
}

func testContext(t *testing.T, s Subject) {
	m := s.Machine("one")
	must(t, "Create", s.Driver.Create(t.Context(), m))
	ctx, cancel := context.WithCancel(t.Context())
	must(t, "Start", s.Driver.Start(ctx, m))
	cancel()
	s.Write(t, "one", "alive")
	wantState(t, s, "one", machine.StateRunning)
}

func testCanceled(t *testing.T, s Subject) {
	m := s.Machine("one")
	must(t, "Create", s.Driver.Create(t.Context(), m))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Driver.Start(ctx, m); err == nil {
		t.Fatal("Start with a cancelled context succeeded")
	}
	wantState(t, s, "one", machine.StateStopped)
}

func testClose(t *testing.T, s Subject) {
	for _, name := range []string{"one", "two"} {
		must(t, "Create", s.Driver.Create(t.Context(), s.Machine(name)))
		must(t, "Start", s.Driver.Start(t.Context(), s.Machine(name)))
	}
	must(t, "Close", s.Driver.Close())
	wantState(t, s, "one", machine.StateStopped)
	wantState(t, s, "two", machine.StateStopped)
	must(t, "second Close", s.Driver.Close())
}

func testUsage(t *testing.T, s Subject) {
	m := s.Machine("one")
	must(t, "Create", s.Driver.Create(t.Context(), m))
	usage, err := s.Driver.Usage(t.Context(), "one")
	must(t, "Usage", err)
	if !usage.Started.IsZero() || usage.MemoryMiB != 0 || usage.CPU != 0 {
		t.Fatalf("usage of a stopped machine = %+v, want no start, memory or CPU time", usage)
	}
	must(t, "Start", s.Driver.Start(t.Context(), m))
	s.Write(t, "one", "something")
	usage, err = s.Driver.Usage(t.Context(), "one")
	must(t, "Usage", err)
	if usage.Started.IsZero() || usage.DiskBytes == 0 {
		t.Fatalf("usage of a running machine = %+v, want start and disk", usage)
	}
}

func testReseed(t *testing.T, s Subject) {
	m := s.Machine("one")
	seed := append(bytes.Clone(m.Seed), bytes.Repeat([]byte(" "), driver.SeedRoom)...)
	must(t, "Reseed of an absent machine", s.Driver.Reseed(t.Context(), "one", seed))
	must(t, "Create", s.Driver.Create(t.Context(), m))
	must(t, "Reseed of a stopped machine", s.Driver.Reseed(t.Context(), "one", seed))
	must(t, "Start", s.Driver.Start(t.Context(), m))
	for range 2 {
		must(t, "Reseed", s.Driver.Reseed(t.Context(), "one", seed))
	}
	wantState(t, s, "one", machine.StateRunning)
}

func wantState(t *testing.T, s Subject, name string, want machine.State) {
	t.Helper()
	state, err := s.Driver.State(context.WithoutCancel(t.Context()), name)
	must(t, "State", err)
	if state != want {
		t.Fatalf("state of %s = %s, want %s", name, state, want)
	}
}

func wantMark(t *testing.T, s Subject, name, want string) {
	t.Helper()
	if mark := s.Read(t, name); mark != want {
		t.Fatalf("disk of %s holds %q, want %q", name, mark, want)
	}
}

func wantError(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("%s = %v, want %v", what, err, want)
	}
}

func must(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}
