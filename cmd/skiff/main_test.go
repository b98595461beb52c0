package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

func TestReportPrintsOneLineAndTheHintsAndChoosesTheExitCode(t *testing.T) {
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
		{"failure in a phase", &phaseError{daemonapi.PhaseBoot, "worker-1", boot}, 1,
			"skiff: worker-1 did not boot: no answer\n  phase: boot, worker-1\n  log:   /logs/serial.log\n  hint:  run it again\n"},
		{"bad input", bad, 2, "skiff: workers is -1\n"},
		{"bad input with a hint", invalid("try 1", "workers is %d", -1), 2, "skiff: workers is -1; try 1\n"},
		{"several", errors.Join(bad, errors.Join(errors.New("two"), errors.New("three"))), 2, "skiff: workers is -1\nskiff: two\nskiff: three\n"},
		{"a program's code", exitCode(7), 7, ""},
		{"interrupted", fmt.Errorf("read: %w", context.Canceled), 130, ""},
		{"interrupted with a word", &interrupted{daemonapi.Failure{Cause: "interrupted", Hint: "go on"}}, 130, "skiff: interrupted\n  hint:  go on\n"},
		{"no cluster", about("dev", client.ErrNoCluster), 1, "skiff: no cluster named \"dev\"\n  hint:  run `skiff list` to see the clusters, or `skiff up dev` to create it\n"},
	} {
		var out strings.Builder
		if code := report(&out, c.err); code != c.code || out.String() != c.want {
			t.Errorf("%s: exit code %d, printed %q\nwant %d, %q", c.name, code, out.String(), c.code, c.want)
		}
	}
}

func TestNodeRowsSayWhatIsWrongFirst(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for _, c := range []struct {
		node daemonapi.NodeStatus
		want string
	}{
		{daemonapi.NodeStatus{Machine: "stopped", Ready: "True"}, "stopped"},
		{daemonapi.NodeStatus{Machine: "paused"}, "paused"},
		{daemonapi.NodeStatus{Machine: "running"}, "booting"},
		{daemonapi.NodeStatus{Machine: "running", Agent: true}, "not registered"},
		{daemonapi.NodeStatus{Machine: "running", Agent: true, Ready: "False"}, "NotReady"},
		{daemonapi.NodeStatus{Machine: "running", Agent: true, Ready: "Unknown"}, "Unknown"},
		{daemonapi.NodeStatus{Machine: "running", Agent: true, Ready: "True"}, "Ready"},
	} {
		if got := nodeRows([]daemonapi.NodeStatus{c.node}, now)[1][2]; got != c.want {
			t.Errorf("%+v: %q, want %q", c.node, got, c.want)
		}
	}
	row := nodeRows([]daemonapi.NodeStatus{{
		Name: "worker-1", Role: "worker", Machine: "running", Agent: true, Ready: "True", Address: "192.168.104.21", CPUs: 2,
		MemoryMiB: 2048, HostMemoryMiB: 391, DiskUsedBytes: 5 << 30 / 2, Started: now.Add(-3 * time.Minute),
	}}, now)[1]
	if got, want := strings.Join(row, " "), "worker-1 worker Ready 192.168.104.21 2 2048Mi 391Mi 2.5Gi 3m - "; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestNodeRowsSayWhenTheFirstCertificateExpires(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for rest, want := range map[time.Duration]string{360 * 24 * time.Hour: "360d", 3 * time.Hour: "3h", -time.Hour: "expired"} {
		rows := nodeRows([]daemonapi.NodeStatus{{Certificates: []nodeapi.Certificate{
			{Name: "etcd/peer", Expires: now.Add(rest)}, {Name: "apiserver", Expires: now.Add(400 * 24 * time.Hour)},
		}}}, now)
		if column := slices.Index(rows[0], "CERTS"); rows[1][column] != want {
			t.Errorf("%s: %q, want %q", rest, rows[1][column], want)
		}
	}
}

func TestAnUpThatDoesNotWaitHasCertificates(t *testing.T) {
	for phase, want := range map[daemonapi.Phase]bool{
		"": false, daemonapi.PhaseCluster: false, daemonapi.PhasePrepare: false,
		daemonapi.PhaseBoot: true, daemonapi.PhaseResume: true, daemonapi.PhaseControlPlane: true,
	} {
		if got := prepared(daemonapi.Event{Phase: phase}); got != want {
			t.Errorf("phase %q: %t", phase, got)
		}
	}
}

func TestHeadingShowsWhatIsWrongAndWhatToDo(t *testing.T) {
	status := daemonapi.ClusterStatus{Name: "dev", Phase: "running"}
	if got := heading(status); strings.Contains(got, "Problem") {
		t.Errorf("a problem without one:\n%s", got)
	}
	status.Problems = []string{"The database is full: run \"skiff etcd defrag\"."}
	if got := heading(status); !strings.Contains(got, "\nProblem     The database is full: run \"skiff etcd defrag\".\n") {
		t.Errorf("not a line of its own:\n%s", got)
	}
}

func TestNormalizedNamesAreWhatTheKubeletAsksFor(t *testing.T) {
	got := strings.Join(normalized([]string{"app:1", "app", "ghcr.io/a/b:2", "docker.io/library/x:1", "Not A Name"}), " ")
	if want := "docker.io/library/app:1 docker.io/library/app:latest ghcr.io/a/b:2 docker.io/library/x:1 Not A Name"; got != want {
		t.Errorf("got %s", got)
	}
}

func TestLinesOfSeveralLogsDoNotMix(t *testing.T) {
	var out strings.Builder
	w := &lineWriter{to: &out}
	long := strings.Repeat("x", 100_000)
	if err := w.copy(strings.NewReader("a\nb"), "n1 | "); err != nil {
		t.Fatal(err)
	}
	if err := w.copy(strings.NewReader(long), ""); err != nil {
		t.Fatal(err)
	}
	if got := strings.ReplaceAll(out.String(), "\n", "/"); !strings.HasPrefix(got, "n1 | a/n1 | b/xxx") || strings.Count(got, "x") != len(long) {
		t.Errorf("got %.60s", got)
	}
}

func TestACommandsEndBecomesOurs(t *testing.T) {
	a := &app{stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard}
	for script, want := range map[string]int{"exit 0": 0, "exit 7": 7, "kill -TERM $$": 143, `test "$SKIFF_X" = y`: 0} {
		err := a.command(context.Background(), []string{"sh", "-c", script}, "SKIFF_X=y")
		if got := report(io.Discard, err); got != want {
			t.Errorf("%s: %d, want %d", script, got, want)
		}
	}
	err := a.command(context.Background(), []string{"no-such-program-anywhere"})
	if got := report(io.Discard, err); got != exitInvalid {
		t.Errorf("a program that does not exist: %d", got)
	}
}

func TestRunsClusterIsAskedToEndWithTheCommand(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	var out strings.Builder
	a := &app{stdin: strings.NewReader(""), stdout: &cancelling{&out, cancel}, stderr: io.Discard}
	err := a.command(ctx, []string{"sh", "-c", "trap 'exit 3' TERM; echo ready; while :; do sleep 0.01; done"})
	if got := report(io.Discard, err); got != 3 {
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

func TestBestDriverIsTheFirstThatIsFast(t *testing.T) {
	for want, states := range map[string][2]string{
		"lima":    {driverReady, driverReady},
		"sandbox": {driverSlow, driverReady},
		"":        {driverUnavailable, driverUnavailable},
	} {
		got, err := bestDriver([]driverFacts{{Name: "lima", State: states[0]}, {Name: "sandbox", State: states[1]}})
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%v: %q, %v; want %q", states, got, err, want)
		}
	}
	if got, err := bestDriver([]driverFacts{{Name: "lima", State: driverSlow}, {Name: "sandbox", State: driverUnavailable}}); got != "lima" || err != nil {
		t.Errorf("emulation is better than nothing: %q, %v", got, err)
	}
}
