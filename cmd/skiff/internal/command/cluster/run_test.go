package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/vm/cluster"
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

func TestSeveralVersionsAreRunInClustersOfTheirOwn(t *testing.T) {
	spec := cluster.Default()
	for versions, want := range map[string][]string{
		"":          {" skiff logs"},
		"1.35":      {"1.35 skiff logs"},
		"1.35,1.36": {"1.35 skiff-1-35 logs/1.35", "1.36 skiff-1-36 logs/1.36"},
		"1.35, 1.36,1.37": {
			"1.35 skiff-1-35 logs/1.35", "1.36 skiff-1-36 logs/1.36", "1.37 skiff-1-37 logs/1.37",
		},
	} {
		spec.KubernetesVersion = versions
		runs, err := perVersion(spec, runOptions{logs: "logs"})
		var got []string
		for _, r := range runs {
			got = append(got, r.spec.KubernetesVersion+" "+r.spec.Name+" "+r.options.logs)
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v, want %q", versions, got, err, want)
		}
	}
	for versions, want := range map[string]string{
		"1.35,":          "a version is empty",
		",":              "a version is empty",
		"1.35,1.36,1.35": "1.35 is there twice",
	} {
		spec.KubernetesVersion = versions
		if _, err := perVersion(spec, runOptions{}); err == nil || !strings.Contains(err.Error(), want) || cli.Report(io.Discard, err) != cli.ExitInvalid {
			t.Errorf("%q: %v, want %s", versions, err, want)
		}
	}
	spec.KubernetesVersion = "1.35,1.36"
	if runs, err := perVersion(spec, runOptions{logs: "none"}); err != nil || runs[0].options.logs != "none" {
		t.Errorf("without logs: %+v, %v", runs, err)
	}
}

func TestAnInterruptionBeforeARunIsNotASuccess(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out strings.Builder
	runs := []oneRun{{spec: cluster.Spec{KubernetesVersion: "1.35"}}}
	if err := runEach(ctx, nil, cli.Streams{Out: io.Discard, Err: &out}, runs, nil); !errors.Is(err, context.Canceled) || !strings.Contains(out.String(), "not run") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestTheSummaryTellsHowARunEnded(t *testing.T) {
	for want, err := range map[string]error{
		"passed":                  nil,
		"failed with exit code 7": cli.ExitCode(7),
		"interrupted":             fmt.Errorf("wait: %w", context.Canceled),
		"failed: no disk":         errors.New("no disk"),
	} {
		if got := result(err); got != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
}
