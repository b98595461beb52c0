package background_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/internal/background"
)

// program returns a program that runs a shell script and answers once the file
// "answers" is in the returned directory.
func program(t *testing.T, script string) (background.Program, string) {
	t.Helper()
	dir := t.TempDir()
	answers := filepath.Join(dir, "answers")
	return background.Program{
		Command: []string{"/bin/sh", "-c", script, answers},
		OpenLog: func() (*os.File, error) {
			return os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		},
		Held: func() bool { return false },
		Answers: func(context.Context) bool {
			_, err := os.Stat(answers)
			return err == nil
		},
	}, dir
}

func TestEnsureStartsAProgramAndWaitsUntilItAnswers(t *testing.T) {
	p, dir := program(t, `echo started; sleep 0.1; : > "$0"; sleep 0.5`)
	for range 2 {
		if err := p.Ensure(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if log, err := os.ReadFile(filepath.Join(dir, "log")); err != nil || string(log) != "started\n" {
		t.Errorf("started other than once: %q, %v", log, err)
	}
}

func TestEnsureReportsWhyAProgramExited(t *testing.T) {
	p, _ := program(t, "echo first; echo no such disk >&2; exit 1")
	if err := p.Ensure(t.Context()); err == nil || err.Error() != "it exited immediately: no such disk" {
		t.Errorf("%v", err)
	}
}

func TestEnsureStartsTheProgramAgainWhileAnotherProcessHoldsTheLock(t *testing.T) {
	p, dir := program(t, `echo started; [ $(wc -l < "$(dirname "$0")/log") -lt 3 ] || : > "$0"`)
	p.Held = func() bool { return true }
	if err := p.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	if log, err := os.ReadFile(filepath.Join(dir, "log")); err != nil || strings.Count(string(log), "started\n") != 3 {
		t.Errorf("%q, %v", log, err)
	}
}

func TestEnsureEndsWithItsContext(t *testing.T) {
	p, _ := program(t, "sleep 1")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := p.Ensure(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}
