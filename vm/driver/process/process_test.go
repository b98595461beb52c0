package process

import (
	"context"
	"errors"
	"testing"

	"github.com/skiff-dev/skiff/vm/driver"
	"github.com/skiff-dev/skiff/vm/machine"
)

// started adds a machine that ends when it is stopped or when a value is sent.
func started(t *Table, name string) chan<- error {
	life, stop := context.WithCancel(context.Background())
	ends := make(chan error)
	t.Add(name, Follow(stop, func() error {
		select {
		case err := <-ends:
			return err
		case <-life.Done():
			return nil
		}
	}))
	return ends
}

func nothing() error { return nil }

func want(t *testing.T, table *Table, name string, state machine.State) {
	t.Helper()
	if got := table.State(name, false); got != state {
		t.Errorf("%s is %s, want %s", name, got, state)
	}
}

func TestStateFollowsTheProcess(t *testing.T) {
	var table Table
	if got := table.State("one", true); got != machine.StateAbsent {
		t.Errorf("state %s", got)
	}
	want(t, &table, "one", machine.StateStopped)
	ends := started(&table, "one")
	want(t, &table, "one", machine.StateRunning)
	for range 2 {
		if err := table.Pause("one", nothing); err != nil {
			t.Error(err)
		}
		want(t, &table, "one", machine.StatePaused)
	}
	for range 2 {
		if err := table.Resume("one", nothing); err != nil {
			t.Error(err)
		}
		want(t, &table, "one", machine.StateRunning)
	}
	broken := errors.New("broken")
	ends <- broken
	for range 2 {
		if err := table.Wait(t.Context(), "one"); !errors.Is(err, broken) {
			t.Errorf("Wait = %v", err)
		}
	}
	want(t, &table, "one", machine.StateStopped)
	if p := table.Running("one"); p != nil {
		t.Errorf("it runs: %+v", p)
	}
}

func TestAFailedPauseOrResumeChangesNothing(t *testing.T) {
	var table Table
	started(&table, "one")
	broken := errors.New("broken")
	fails := func() error { return broken }
	if err := table.Pause("one", fails); !errors.Is(err, broken) {
		t.Errorf("Pause = %v", err)
	}
	want(t, &table, "one", machine.StateRunning)
	if err := table.Resume("one", fails); err != nil {
		t.Errorf("Resume of what is not paused = %v", err)
	}
	if err := table.Pause("one", nothing); err != nil {
		t.Error(err)
	}
	if err := table.Resume("one", fails); !errors.Is(err, broken) {
		t.Errorf("Resume = %v", err)
	}
	want(t, &table, "one", machine.StatePaused)
	if err := table.StopAll(); err != nil {
		t.Error(err)
	}
}

func TestWhatWasStoppedIsKnownNoMore(t *testing.T) {
	var table Table
	for _, name := range []string{"one", "two", "three"} {
		started(&table, name)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := table.Wait(canceled, "one"); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait = %v", err)
	}
	if err := errors.Join(table.Stop(t.Context(), "one"), table.Stop(t.Context(), "one"), table.StopAll()); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"one", "two", "three"} {
		want(t, &table, name, machine.StateStopped)
		for what, err := range map[string]error{
			"Wait": table.Wait(t.Context(), name), "Pause": table.Pause(name, nothing), "Resume": table.Resume(name, nothing),
		} {
			if !errors.Is(err, driver.ErrNotFound) {
				t.Errorf("%s of %s = %v", what, name, err)
			}
		}
	}
}
