package progress

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/creack/pty"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

var update = flag.Bool("update", false, "update the golden files")

func at(seconds float64) time.Time {
	return time.Unix(1_800_000_000, 0).Add(time.Duration(seconds * float64(time.Second)))
}

func event(when float64, node string, phase daemonapi.Phase, state daemonapi.State, seconds float64, message string) daemonapi.Event {
	e := daemonapi.Event{Time: at(when), Node: node, Phase: phase, State: state, Seconds: seconds, Message: message}
	if state == daemonapi.StateFailed {
		e.Failure = &daemonapi.Failure{Cause: message, Log: "daemon.log", Hint: "try again"}
	}
	return e
}

// story is the start of a cluster whose second worker fails.
func story() []daemonapi.Event {
	return []daemonapi.Event{
		event(0, "", daemonapi.PhasePrepare, daemonapi.StateRunning, 0, "certificates"),
		event(0.4, "", daemonapi.PhasePrepare, daemonapi.StateDone, 0.4, ""),
		event(0.4, "control-plane-1", daemonapi.PhaseBoot, daemonapi.StateRunning, 0, ""),
		event(0.5, "worker-1", daemonapi.PhaseBoot, daemonapi.StateRunning, 0, "waiting for the node API"),
		event(0.5, "worker-2", daemonapi.PhaseBoot, daemonapi.StateRunning, 0, ""),
		event(4.6, "control-plane-1", daemonapi.PhaseBoot, daemonapi.StateDone, 4.2, ""),
		event(4.6, "control-plane-1", daemonapi.PhaseControlPlane, daemonapi.StateRunning, 0, "waiting for the API server"),
		event(5.0, "worker-1", daemonapi.PhaseBoot, daemonapi.StateDone, 4.5, ""),
		event(9.0, "worker-2", daemonapi.PhaseBoot, daemonapi.StateFailed, 8.5, "QEMU ended: exit status 1"),
		event(20.1, "control-plane-1", daemonapi.PhaseControlPlane, daemonapi.StateDone, 15.5, ""),
		event(20.1, "worker-1", daemonapi.PhaseReady, daemonapi.StateRunning, 0, "the pod network is not ready"),
	}
}

func TestFramesMatchGoldenFiles(t *testing.T) {
	var board Board
	var frames strings.Builder
	for i, e := range story() {
		board.Event(e)
		fmt.Fprintf(&frames, "after event %d, 60 columns\n%s", i+1, board.Frame(e.Time.Add(time.Second), i, 60))
	}
	fmt.Fprintf(&frames, "at the end, 120 columns\n%s", board.Frame(at(30), 3, 120))
	golden(t, "colour.golden", frames.String())
	golden(t, "plain.golden", ansi.Strip(frames.String()))
}

func TestNoFrameIsWiderThanTheTerminal(t *testing.T) {
	for width := range 100 {
		var board Board
		for _, e := range story() {
			board.Event(e)
		}
		for _, line := range strings.Split(board.Frame(at(30), 0, width), "\n") {
			if ansi.StringWidth(line) > width {
				t.Fatalf("width %d: %q", width, line)
			}
		}
	}
}

func TestPlainLinesMatchTheGoldenFile(t *testing.T) {
	var lines strings.Builder
	for _, e := range story() {
		fmt.Fprintln(&lines, Line(e, at(0)))
	}
	golden(t, "lines.golden", lines.String())
}

func TestRunShowsTheLastFrameAndReturnsTheError(t *testing.T) {
	terminal, tty, err := pty.Open()
	if err != nil {
		t.Skipf("cannot open a pseudo-terminal: %v", err)
	}
	defer terminal.Close()
	if err := pty.Setsize(terminal, &pty.Winsize{Rows: 24, Cols: 100}); err != nil {
		t.Fatal(err)
	}
	screen := make(chan string)
	go func() {
		var out bytes.Buffer
		_, _ = io.Copy(&out, terminal) // ends with an error once tty is closed
		screen <- ansi.Strip(out.String())
	}()
	want := errors.New("no such machine")
	err = Run(t.Context(), tty, tty, func(_ context.Context, show func(daemonapi.Event)) error {
		for _, e := range story() {
			show(e)
		}
		return want
	})
	if !errors.Is(err, want) {
		t.Errorf("got %v", err)
	}
	tty.Close()
	if got := <-screen; !strings.Contains(got, "QEMU ended: exit status 1") {
		t.Errorf("the last frame is missing: %q", got)
	}
}

func TestCtrlCCancelsTheWork(t *testing.T) {
	interrupted := false
	m := newModel(func() { interrupted = true })
	_, cmd := m.Update(tea.KeyPressMsg{Code: 'c', Mod: tea.ModCtrl})
	if cmd == nil {
		t.Fatal("ctrl+c has no effect")
	}
	cmd()
	if !interrupted {
		t.Error("the work was not canceled")
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (update it with go test -update):\n%s", name, got)
	}
}
