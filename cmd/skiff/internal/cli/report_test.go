package cli_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

func TestReportPrintsOneLineWithHintsAndChoosesTheExitCode(t *testing.T) {
	boot := &daemonapi.Failure{Cause: "worker-1 did not boot:\n\tno answer", Log: "/logs/serial.log", Hint: "run it again"}
	bad := &daemonapi.Failure{Cause: "workers is -1", Invalid: true}
	for _, c := range []struct {
		name string
		err  error
		code int
		want string
	}{
		{"nothing", nil, 0, ""},
		{"plain", errors.New("it broke"), 1, "skiff: it broke\n"},
		{"failure in a phase", &cli.PhaseError{Phase: daemonapi.PhaseBoot, Node: "worker-1", Err: boot}, 1,
			"skiff: worker-1 did not boot: no answer\n  phase: boot, worker-1\n  log:   /logs/serial.log\n  hint:  run it again\n"},
		{"bad input", bad, 2, "skiff: workers is -1\n"},
		{"bad input with a hint", cli.Invalid("try 1", "workers is %d", -1), 2, "skiff: workers is -1; try 1\n"},
		{"several", errors.Join(bad, errors.Join(errors.New("two"), errors.New("three"))), 2, "skiff: workers is -1\nskiff: two\nskiff: three\n"},
		{"a program's code", cli.ExitCode(7), 7, ""},
		{"interrupted", fmt.Errorf("read: %w", context.Canceled), 130, ""},
		{"interrupted with a message", cli.Interrupted("interrupted", "run it again"), 130, "skiff: interrupted\n  hint:  run it again\n"},
		{"no cluster", target.Explain("dev", client.ErrNoCluster), 2, "skiff: no cluster named \"dev\"; run `skiff list` to see the clusters, or `skiff up dev` to create it\n"},
	} {
		var out strings.Builder
		if code := cli.Report(&out, c.err); code != c.code || out.String() != c.want {
			t.Errorf("%s: exit code %d, printed %q\nwant %d, %q", c.name, code, out.String(), c.code, c.want)
		}
	}
}
