package skiff

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMain lets the test program act as skiff, so that commands are real processes.
func TestMain(m *testing.M) {
	if file := os.Getenv("FAKE_SKIFF_CALLS"); file != "" {
		os.Exit(fake(file, os.Args[1:]))
	}
	os.Exit(m.Run())
}

const kubeconfig = `{"apiVersion": "v1", "kind": "Config", "current-context": "a", "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
"clusters": [{"name": "a", "cluster": {"server": "https://127.0.0.1:6443"}}], "users": [{"name": "a", "user": {"token": "t"}}]}`

// fake records a call and answers as skiff does.
func fake(calls string, args []string) int {
	stdin, _ := io.ReadAll(os.Stdin)
	line, _ := json.Marshal(call{args, string(stdin), os.Getenv("SKIFF_CLUSTER")})
	f, err := os.OpenFile(calls, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return 99
	}
	_, _ = f.Write(append(line, '\n'))
	_ = f.Close()
	switch args[0] {
	case "up":
		switch os.Getenv("FAKE_SKIFF_UP") {
		case "fails":
			fmt.Fprintln(os.Stderr, "warning: sandboxes are not a boundary\nskiff: worker-1 does not answer\n  hint:  look at its log")
			return 1
		case "invalid":
			fmt.Fprintln(os.Stderr, "skiff: unknown driver \"x\"; choose lima\nskiff: name is too long")
			return 2
		case "hangs":
			time.Sleep(time.Minute)
		}
		fmt.Println(`{"time": "2026-01-02T03:04:05Z", "node": "worker-1", "phase": "boot", "state": "done", "seconds": 1.5}`)
		fmt.Println(`{"done": true}`)
	case "kubeconfig":
		fmt.Println(kubeconfig)
	case "status":
		fmt.Println(`{"nodes": [{"name": "worker-1", "role": "worker", "address": "192.168.104.21", "zone": "local-a", "machine": "running", "ready": "True"}]}`)
		return 1 // as for a degraded cluster
	case "chaos":
		fmt.Println(`{"id": "kill-1"}`)
	}
	return 0
}

// call is a call of the program.
type call struct {
	Args           []string
	Stdin, Cluster string
}

// faked returns a Config that uses the fake, and a function that returns its calls.
func faked(t *testing.T, up string) (Config, func() []call) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "calls")
	return Config{Name: "ci", Program: program, Env: []string{"FAKE_SKIFF_CALLS=" + file, "FAKE_SKIFF_UP=" + up}}, func() []call {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var all []call
		for line := range strings.Lines(string(content)) {
			var c call
			if err := json.Unmarshal([]byte(line), &c); err != nil {
				t.Fatal(err)
			}
			all = append(all, c)
		}
		return all
	}
}

func TestUpReturnsAClusterAndReportsItsProgress(t *testing.T) {
	config, calls := faked(t, "")
	config.YAML = "workers: 1\n"
	var events []Event
	config.Progress = func(e Event) { events = append(events, e) }
	c, err := Up(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	if c.Name != "ci" || c.RESTConfig.Host != "https://127.0.0.1:6443" || len(c.Kubeconfig) == 0 {
		t.Errorf("cluster %+v", c)
	}
	if len(events) != 1 || events[0].Node != "worker-1" || events[0].Phase != "boot" || events[0].Seconds != 1.5 {
		t.Errorf("events %+v", events)
	}
	want := []string{"up", "ci", "--kubeconfig=none", "--output=json", fmt.Sprintf("--owner=%d", os.Getpid()), "--file=-"}
	if all := calls(); len(all) != 2 || !slices.Equal(all[0].Args, want) || all[0].Stdin != "workers: 1\n" {
		t.Errorf("calls %+v, want %q", all, want)
	}
}

func TestArgumentsOfUp(t *testing.T) {
	for want, config := range map[string]Config{
		"up a --kubeconfig=none --output=json --owner=7":                   {Name: "a"},
		"up a --kubeconfig=none --output=json":                             {Name: "a", Keep: true},
		"up a --kubeconfig=none --output=json --owner=7 --from=dev/before": {Name: "a", From: "dev/before"},
		"up a --kubeconfig=none --output=json --owner=7 --workers=0..3":    {Name: "a", Workers: Range{Max: 3}},
		"up a --kubeconfig=none --output=json --owner=7 --wait=1m30s --file=kind.yaml --driver=sandbox --kubernetes=1.36 --workers=4": {
			Name: "a", Wait: 90 * time.Second, File: "kind.yaml", Driver: "sandbox", Kubernetes: "1.36", Flags: []string{"--workers=4"},
		},
	} {
		if got := strings.Join(config.args(7), " "); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestAClusterWithoutANameGetsARandomOne(t *testing.T) {
	config, calls := faked(t, "")
	config.Name = ""
	c, err := Up(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	if name := calls()[0].Args[1]; !strings.HasPrefix(name, "go-") || len(name) != 11 || c.Name != name {
		t.Errorf("name %q", name)
	}
}

func TestAFailedClusterIsDeletedAndTheErrorSaysWhy(t *testing.T) {
	config, calls := faked(t, "fails")
	_, err := Up(t.Context(), config)
	var failed *Error
	if !errors.As(err, &failed) || failed.ExitCode != 1 || failed.Error() != "skiff up ci: worker-1 does not answer hint: look at its log" {
		t.Errorf("error %v", err)
	}
	if all := calls(); len(all) != 2 || strings.Join(all[1].Args, " ") != "down ci" {
		t.Errorf("calls %+v", all)
	}
	config, calls = faked(t, "fails")
	config.Keep = true
	if _, err := Up(t.Context(), config); err == nil || len(calls()) != 1 {
		t.Errorf("with Keep: %v, calls %+v", err, calls())
	}
}

func TestInvalidInputDeletesNothing(t *testing.T) {
	config, calls := faked(t, "invalid")
	_, err := Up(t.Context(), config)
	if !errors.Is(err, ErrInvalid) || err.Error() != `skiff up ci: unknown driver "x"; choose lima; name is too long` {
		t.Errorf("error %v", err)
	}
	if all := calls(); len(all) != 1 {
		t.Errorf("calls %+v", all)
	}
	if _, err := Up(t.Context(), Config{File: "a", YAML: "b"}); err == nil {
		t.Error("both File and YAML were accepted")
	}
	for _, workers := range []Range{{Min: 3, Max: 1}, {Min: -1, Max: 1}, {Min: 1}, {Max: -1}} {
		if _, err := Up(t.Context(), Config{Workers: workers}); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "Workers is "+workers.String()) {
			t.Errorf("workers %v: %v", workers, err)
		}
	}
	if _, err := Open(t.Context(), Config{}); err == nil {
		t.Error("Open accepted no name")
	}
}

func TestUpEndsWithItsContext(t *testing.T) {
	config, calls := faked(t, "hangs")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	begun := time.Now()
	if _, err := Up(ctx, config); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	if all := calls(); len(all) != 2 || strings.Join(all[1].Args, " ") != "down ci" {
		t.Errorf("calls %+v", all)
	}
}

func TestAMissingProgramIsAnErrorOfItsOwn(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for _, program := range []string{"", filepath.Join(t.TempDir(), "skiff")} {
		if _, err := Up(t.Context(), Config{Program: program}); !errors.Is(err, ErrNotInstalled) {
			t.Errorf("%q: %v", program, err)
		}
	}
}

func TestCommandsOfACluster(t *testing.T) {
	config, calls := faked(t, "")
	c, err := Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	fault := Fault{Kind: FaultLatency, Targets: []string{"worker-1"}, For: time.Minute, Delay: 50 * time.Millisecond}
	if id, err := c.Inject(t.Context(), fault); err != nil || id != "kill-1" {
		t.Errorf("fault %q, %v", id, err)
	}
	if nodes, err := c.Nodes(t.Context()); err != nil || len(nodes) != 1 || nodes[0] != (Node{Name: "worker-1", Role: "worker", Machine: "running", Address: "192.168.104.21", Zone: "local-a", Ready: "True"}) {
		t.Errorf("nodes %+v, %v", nodes, err)
	}
	_, runErr := c.Run(t.Context(), strings.NewReader("in"), "node", "add")
	if err := errors.Join(
		c.ClearFaults(t.Context(), "kill-1"), c.LoadImage(t.Context(), "a.tar", "b:1"), c.ExportLogs(t.Context(), "logs"),
		c.Pause(t.Context()), c.Resume(t.Context()), c.Down(t.Context()), runErr,
	); err != nil {
		t.Error(err)
	}
	var got []string
	for _, c := range calls() {
		line := strings.Join(c.Args, " ")
		if c.Cluster != "" {
			line = c.Cluster + ": " + line + " <" + c.Stdin
		}
		got = append(got, line)
	}
	want := []string{
		"kubeconfig ci", "chaos latency --cluster=ci --output=json --for=1m0s --delay=50ms -- worker-1", "status ci --output=json",
		"ci: node add <in", "chaos clear --cluster=ci -- kill-1", "image load --cluster=ci -- a.tar b:1", "logs export logs --cluster=ci",
		"pause ci", "resume ci", "down ci",
	}
	if !slices.Equal(got, want) {
		t.Errorf("calls\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestArgumentsOfFaults(t *testing.T) {
	for want, fault := range map[string]Fault{
		"chaos kill --cluster=ci --output=json -- a b":                 {Kind: FaultKill, Targets: []string{"a", "b"}},
		"chaos loss --cluster=ci --output=json --percent=2.5 -- a":     {Kind: FaultLoss, Percent: 2.5, Targets: []string{"a"}},
		"chaos bandwidth --cluster=ci --output=json --rate=1mbit -- a": {Kind: FaultBandwidth, Rate: "1mbit", Targets: []string{"a"}},
		"chaos clock --cluster=ci --output=json --offset=-10m0s -- a":  {Kind: FaultClock, Offset: -10 * time.Minute, Targets: []string{"a"}},
		"chaos zone --cluster=ci --output=json --kill=true -- local-b": {Kind: FaultZone, Kill: true, Targets: []string{"local-b"}},
	} {
		if got := strings.Join(fault.args("ci"), " "); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
