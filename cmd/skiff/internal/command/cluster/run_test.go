package cluster

import (
	"context"
	"io"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
)

func TestExecuteReturnsTheExitCodeOfTheCommand(t *testing.T) {
	s := cli.Streams{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard}
	for script, want := range map[string]int{"exit 0": 0, "exit 7": 7, "kill -TERM $$": 143, `test "$SKIFF_X" = y`: 0} {
		err := execute(context.Background(), nil, s, []string{"sh", "-c", script}, "SKIFF_X=y")
		if got := cli.Report(io.Discard, err); got != want {
			t.Errorf("%s: %d, want %d", script, got, want)
		}
	}
	err := execute(context.Background(), nil, s, []string{"no-such-program-anywhere"})
	if got := cli.Report(io.Discard, err); got != cli.ExitInvalid {
		t.Errorf("a program that does not exist: %d", got)
	}
}

func TestExecuteTerminatesTheCommandWhenCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	var out strings.Builder
	s := cli.Streams{In: strings.NewReader(""), Out: &cancelling{Writer: &out, cancel: cancel}, Err: io.Discard}
	err := execute(ctx, nil, s, []string{"sh", "-c", "trap 'exit 3' TERM; echo ready; while :; do sleep 0.01; done"})
	if got := cli.Report(io.Discard, err); got != 3 {
		t.Errorf("%d, %v", got, err)
	}
}

// cancelling cancels a context at the first write.
type cancelling struct {
	io.Writer
	cancel func()
	once   sync.Once
}

func (c *cancelling) Write(p []byte) (int, error) {
	defer c.once.Do(c.cancel)
	return c.Writer.Write(p)
}

func TestASecondSignalKillsTheCommandAndItsChildren(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	hurry := make(chan struct{})
	var out strings.Builder
	s := cli.Streams{In: strings.NewReader(""), Out: &cancelling{Writer: &out, cancel: func() { cancel(); close(hurry) }}, Err: io.Discard}
	began := time.Now()
	err := execute(ctx, hurry, s, []string{"sh", "-c", "trap '' TERM INT; echo ready; sleep 60; sleep 60"})
	if got := cli.Report(io.Discard, err); got != 128+int(syscall.SIGKILL) || time.Since(began) > 20*time.Second {
		t.Errorf("%d after %s, %v", got, time.Since(began), err)
	}
}
