package cluster

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
)

func TestExecuteReturnsTheExitCodeOfTheCommand(t *testing.T) {
	s := cli.Streams{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard}
	for script, want := range map[string]int{"exit 0": 0, "exit 7": 7, "kill -TERM $$": 143, `test "$SKIFF_X" = y`: 0} {
		err := execute(context.Background(), s, []string{"sh", "-c", script}, "SKIFF_X=y")
		if got := cli.Report(io.Discard, err); got != want {
			t.Errorf("%s: %d, want %d", script, got, want)
		}
	}
	err := execute(context.Background(), s, []string{"no-such-program-anywhere"})
	if got := cli.Report(io.Discard, err); got != cli.ExitInvalid {
		t.Errorf("a program that does not exist: %d", got)
	}
}

func TestExecuteTerminatesTheCommandWhenCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	var out strings.Builder
	s := cli.Streams{In: strings.NewReader(""), Out: &cancelling{&out, cancel}, Err: io.Discard}
	err := execute(ctx, s, []string{"sh", "-c", "trap 'exit 3' TERM; echo ready; while :; do sleep 0.01; done"})
	if got := cli.Report(io.Discard, err); got != 3 {
		t.Errorf("%d, %v", got, err)
	}
}

// cancelling cancels a context at the first write.
type cancelling struct {
	io.Writer
	cancel func()
}

func (c *cancelling) Write(p []byte) (int, error) {
	defer c.cancel()
	return c.Writer.Write(p)
}
