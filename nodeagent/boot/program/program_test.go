package program

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
)

// The reaper takes every child of the test process, so there is one for all
// tests, and no test here uses os/exec.
var reaper = sync.OnceValue(NewReaper)

// watcher keeps the states that a supervisor reports.
type watcher struct {
	mu     sync.Mutex // guards states
	states []nodeapi.Program
	change chan struct{}
}

func newWatcher() *watcher { return &watcher{change: make(chan struct{}, 100)} }

func (w *watcher) changed(p nodeapi.Program) {
	w.mu.Lock()
	w.states = append(w.states, p)
	w.mu.Unlock()
	select {
	case w.change <- struct{}{}:
	default:
	}
}

// until waits for a state.
func (w *watcher) until(t *testing.T, what string, ok func(nodeapi.Program) bool) nodeapi.Program {
	t.Helper()
	for {
		w.mu.Lock()
		for _, state := range w.states {
			if ok(state) {
				w.mu.Unlock()
				return state
			}
		}
		w.mu.Unlock()
		select {
		case <-w.change:
		case <-time.After(time.Minute):
			t.Fatalf("never %s: %+v", what, w.states)
		}
	}
}

func shell(script string) []string { return []string{"/bin/sh", "-c", script} }

func TestAProgramThatExitsIsRestarted(t *testing.T) {
	w, dir := newWatcher(), t.TempDir()
	s := &Supervisor{Reaper: reaper(), LogDir: dir, Log: func(string) {}, Changed: w.changed}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(ctx, []Spec{{Name: "p", Args: shell("echo hello; exit 3")}})
	}()
	state := w.until(t, "restarted", func(p nodeapi.Program) bool { return p.Restarts == 2 && p.PID != 0 })
	if state.LastExit != "exit code 3" {
		t.Errorf("last exit %q", state.LastExit)
	}
	cancel()
	<-done
	if text, err := os.ReadFile(LogFile(dir, "p")); err != nil || strings.Count(string(text), "hello\n") < 2 {
		t.Errorf("log %q, %v", text, err)
	}
}

func TestStopSendsSIGTERMAndThenSIGKILL(t *testing.T) {
	for name, test := range map[string]struct{ script, want string }{
		"polite":   {"trap 'exit 5' TERM; echo ready; while :; do sleep 0.02; done", "exit code 5"},
		"stubborn": {"trap '' TERM; echo ready; while :; do sleep 0.02; done", "killed by killed"},
	} {
		w, dir := newWatcher(), t.TempDir()
		s := &Supervisor{Reaper: reaper(), LogDir: dir, Log: func(string) {}, Changed: w.changed}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			stop := 10 * time.Second
			if name == "stubborn" {
				stop = 50 * time.Millisecond
			}
			s.Run(ctx, []Spec{{Name: "p", Args: shell(test.script), StopTime: stop}})
		}()
		for {
			if text, err := os.ReadFile(LogFile(dir, "p")); err == nil && len(text) > 0 {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		cancel()
		<-done
		if last := w.states[len(w.states)-1]; last.PID != 0 || last.LastExit != test.want {
			t.Errorf("%s: %+v, want %q", name, last, test.want)
		}
	}
}

func TestATaskRunsUntilItSucceeds(t *testing.T) {
	w, dir := newWatcher(), t.TempDir()
	s := &Supervisor{Reaper: reaper(), LogDir: dir, Log: func(string) {}, Changed: w.changed}
	mark := filepath.Join(dir, "mark")
	finished := 0
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s.keep(ctx, Spec{
		Name: "task", Args: shell("test -e " + mark + " || { touch " + mark + "; exit 1; }"),
		Once: func() error { finished++; return nil },
	})
	if last := w.states[len(w.states)-1]; finished != 1 || last.Restarts != 1 || last.LastExit != "exit code 0" {
		t.Errorf("finished %d times: %+v", finished, last)
	}
}

func TestAProgramWaitsUntilItIsReadyEveryTime(t *testing.T) {
	w, dir := newWatcher(), t.TempDir()
	s := &Supervisor{Reaper: reaper(), LogDir: dir, Log: func(string) {}, Changed: w.changed}
	ready := 0
	s.keep(t.Context(), Spec{Name: "p", Args: shell("exit 0"), Ready: func(context.Context) error {
		if ready++; ready > 2 {
			return context.Canceled
		}
		return nil
	}})
	if last := w.states[len(w.states)-1]; ready != 3 || last.Restarts != 1 {
		t.Errorf("asked %d times: %+v", ready, last)
	}
}

func TestAProgramOnDemandIsReportedOnceItStarts(t *testing.T) {
	w := newWatcher()
	s := &Supervisor{Reaper: reaper(), LogDir: t.TempDir(), Log: func(string) {}, Changed: w.changed}
	s.keep(t.Context(), Spec{Name: "p", Args: shell("exit 0"), OnDemand: true, Once: func() error { return nil }, Ready: func(context.Context) error {
		if len(w.states) > 0 {
			t.Errorf("reported before: %+v", w.states)
		}
		return nil
	}})
	if len(w.states) == 0 || w.states[0].PID == 0 {
		t.Errorf("reported %+v", w.states)
	}
}

func TestAFailedStartIsReported(t *testing.T) {
	w := newWatcher()
	s := &Supervisor{Reaper: reaper(), LogDir: t.TempDir(), Log: func(string) {}, Changed: w.changed}
	state := nodeapi.Program{Name: "p"}
	if s.attempt(t.Context(), Spec{Name: "p", Args: []string{"/no/such/program"}}, &state) {
		t.Error("it started")
	}
	if !strings.Contains(state.LastExit, "no such file") {
		t.Errorf("last exit %q", state.LastExit)
	}
}

func TestOrphansAreReaped(t *testing.T) {
	// The shell's own child outlives it and is given to this process if it is
	// a subreaper, as it would be to PID 1.
	const setSubreaper = 36 // PR_SET_CHILD_SUBREAPER
	if _, _, errno := syscall.Syscall6(syscall.SYS_PRCTL, setSubreaper, 1, 0, 0, 0, 0); errno != 0 {
		t.Skip(errno)
	}
	code, _, err := reaper().RunToEnd(t.Context(), shell("sleep 0.1 & exit 0")...)
	if err != nil || code != 0 {
		t.Fatal(code, err)
	}
	if !reaper().WaitAll(20 * time.Second) {
		t.Error("a child is left")
	}
}

func TestRunToEndReturnsTheExitCodeAndOutput(t *testing.T) {
	code, out, err := reaper().RunToEnd(t.Context(), shell("echo out; echo err >&2; exit 9")...)
	if code != 9 || out != "out\nerr\n" || err != nil {
		t.Errorf("%d %q %v", code, out, err)
	}
	if _, _, err := reaper().RunToEnd(t.Context(), "/no/such/program"); err == nil {
		t.Error("a program that is not there ran")
	}
}

func TestRotationCopiesAndTruncatesTheLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p.log")
	if err := rotate(path, 10); err != nil {
		t.Fatalf("without a log: %v", err)
	}
	log, err := openLog(path)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	for _, text := range []string{"0123456789", "abcdefghij"} {
		if _, err := log.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	if err := rotate(path, 10); err != nil {
		t.Fatal(err)
	}
	if _, err := log.WriteString("new"); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{path: "new", path + ".1": "0123456789abcdefghij"} {
		if text, err := os.ReadFile(file); string(text) != want || err != nil {
			t.Errorf("%s has %q, %v, want %q", file, text, err, want)
		}
	}
	if _, err := log.WriteString(strings.Repeat("x", 60) + "end"); err != nil {
		t.Fatal(err)
	}
	if err := rotate(path, 10); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(path + ".1"); len(text) != maxCopies*10 || !strings.HasSuffix(string(text), "end") || err != nil {
		t.Errorf("of a large log %q was copied, %v", text, err)
	}
}
