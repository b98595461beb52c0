package operation

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/driver"
)

func TestEveryListenerReceivesAllEventsWithDurations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		op := New(KindApply, nil)
		listen := func() chan []daemonapi.Event {
			received := make(chan []daemonapi.Event, 1)
			go func() {
				var events []daemonapi.Event
				_ = op.Listen(t.Context(), func(e daemonapi.Event) error {
					events = append(events, e)
					return nil
				})
				received <- events
			}()
			return received
		}
		early := listen()
		op.Begin("worker-1", daemonapi.PhaseBoot, "")
		time.Sleep(3 * time.Second)
		op.End("worker-1", daemonapi.PhaseBoot, nil)
		op.Begin("worker-2", daemonapi.PhaseBoot, "")
		time.Sleep(time.Second)
		op.End("worker-2", daemonapi.PhaseBoot, nil)
		if !op.Running() {
			t.Error("the operation has finished before its last event")
		}
		op.Finish("", nil)
		if op.Running() {
			t.Error("the operation is running after its last event")
		}
		late := listen()
		for _, received := range []chan []daemonapi.Event{early, late} {
			events := <-received
			if len(events) != 5 || events[1].Seconds != 3 || !events[4].Done {
				t.Errorf("received %+v", events)
			}
		}
		timings := op.Timings(time.Now())
		if timings.Phases["boot"] != 3 || timings.Nodes["worker-2"]["boot"] != 1 {
			t.Errorf("timings %+v", timings)
		}
	})
}

func TestEventsKeepFailuresAsTheyWere(t *testing.T) {
	op := New(KindApply, nil)
	failure := &daemonapi.Failure{Cause: "it broke"}
	op.End("worker-1", daemonapi.PhaseBoot, failure)
	failure.Hint = "try again"
	op.Finish("", failure)
	var hints []string
	if err := op.Listen(t.Context(), func(e daemonapi.Event) error {
		hints = append(hints, e.Failure.Hint)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(hints); got != "[ try again]" {
		t.Errorf("hints %q", got)
	}
}

func TestListenReturnsWhenItsContextEnds(t *testing.T) {
	op := New(KindApply, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := op.Listen(ctx, func(daemonapi.Event) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("Listen: %v", err)
	}
}

func TestAsFailureKeepsFailuresAndMarksInvalidInput(t *testing.T) {
	known := &daemonapi.Failure{Cause: "a", Hint: "b"}
	if got := AsFailure(fmt.Errorf("wrapped: %w", known), "log"); got != known {
		t.Errorf("a wrapped failure: %+v", got)
	}
	for _, test := range []struct {
		err     error
		invalid bool
		log     string
	}{
		{errors.New("broken"), false, "log"},
		{fmt.Errorf("no KVM: %w", driver.ErrUnavailable), true, "log"},
		{fmt.Errorf("read: %w", cluster.ErrDamaged), true, "log"},
		{ErrDown, false, ""},
	} {
		if got := AsFailure(test.err, "log"); got.Invalid != test.invalid || got.Log != test.log || got.Cause != test.err.Error() {
			t.Errorf("%v: %+v", test.err, got)
		}
	}
	joined := Joined(errors.Join(Invalid(errors.New("one"), ""), Invalid(errors.New("two"), "hint")))
	if joined.Cause != "one; two" || joined.Hint != "hint" || !joined.Invalid {
		t.Errorf("joined: %+v", joined)
	}
}
