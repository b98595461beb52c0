// Command ui measures the dashboard against a real API server with thousands of
// pods: the time to the first rows, the response time of keys while pods change,
// and the memory use. The control plane runs as a local process and is stopped
// at the end.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skiff-dev/skiff/test/bench/figure"
	"github.com/skiff-dev/skiff/test/ui/rig"
	"github.com/skiff-dev/skiff/test/ui/terminal"
)

// Goals of the project.
const (
	goalFirstRowsSeconds = 0.5
	goalKeyMilliseconds  = 50
	goalMemoryMiB        = 150
)

func main() {
	b := bench{}
	out := flag.String("out", "build/bench/ui.json", "output file for the figures")
	flag.StringVar(&b.program, "skiff", "bin/skiff", "the host program")
	flag.IntVar(&b.pods, "pods", 5000, "number of pods in the cluster")
	flag.IntVar(&b.rate, "rate", 100, "changes per second while keys are pressed")
	flag.IntVar(&b.presses, "keys", 200, "number of keys to press")
	flag.IntVar(&b.opens, "opens", 5, "how many times to open the dashboard")
	flag.Parse()
	figure.Main("ui", *out, b.run)
}

type bench struct {
	program                    string
	pods, rate, presses, opens int
	dir                        string
}

func (b *bench) run(ctx context.Context) ([]figure.Figure, error) {
	controlPlane, err := rig.Program(".")
	if err != nil {
		return nil, err
	}
	if b.dir, err = os.MkdirTemp("", "skiff-bench-ui-"); err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(b.dir) }()
	server, err := rig.Start(ctx, controlPlane, b.dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = server.Stop() }()
	if err := server.Fill(ctx); err != nil {
		return nil, err
	}
	if err := server.Pods(ctx, "load", b.pods); err != nil {
		return nil, err
	}
	first, all, err := b.measureOpen(ctx, server)
	if err != nil {
		return nil, err
	}
	keys, resident, changed, err := b.measureKeys(ctx, server)
	if err != nil {
		return nil, err
	}
	slices.Sort(keys)
	at := func(part float64) float64 { return keys[int(part*float64(len(keys)-1))] }
	return []figure.Figure{
		figure.New(fmt.Sprintf("first rows of %d pods, median", b.pods), "s", first, goalFirstRowsSeconds),
		figure.New("all rows, median", "s", all, 0),
		figure.New("key response, median", "ms", at(0.5), goalKeyMilliseconds),
		figure.New("key response, p99", "ms", at(0.99), goalKeyMilliseconds),
		figure.New(fmt.Sprintf("changes per second, %d requested", b.rate), "1/s", changed, 0),
		figure.New("resident memory", "MiB", resident, goalMemoryMiB),
	}, nil
}

func (b *bench) open(server *rig.Server) (*terminal.Terminal, error) {
	cmd := exec.Command(b.program, "ui", "--kubeconfig", server.Kubeconfig, "-n", "load", "--read-only")
	cmd.Env = append(os.Environ(), "SKIFF_HOME="+b.dir+"/home", "TERM=xterm-256color", "COLORTERM=truecolor")
	return terminal.Start(cmd, 160, 50)
}

// measureOpen measures the times from the start of the process to the first rows
// and to all rows, as medians.
func (b *bench) measureOpen(ctx context.Context, server *rig.Server) (first, all float64, err error) {
	var firsts, alls []float64
	for range b.opens {
		start := time.Now()
		t, err := b.open(server)
		if err != nil {
			return 0, 0, err
		}
		seen := t.Next("load-00")
		err = awaitOutput(ctx, seen, func(at time.Time) { firsts = append(firsts, at.Sub(start).Seconds()) })
		if err == nil {
			err = t.Await(ctx, fmt.Sprintf("1/%d", b.pods), "live")
			alls = append(alls, time.Since(start).Seconds())
		}
		if err = errors.Join(err, t.Close()); err != nil {
			return 0, 0, err
		}
	}
	slices.Sort(firsts)
	slices.Sort(alls)
	return firsts[len(firsts)/2], alls[len(alls)/2], nil
}

// outputLimit is how long to wait for output.
const outputLimit = 30 * time.Second

var errNoOutput = errors.New("no output in time")

// awaitOutput calls then with the time at which the output was seen.
func awaitOutput(ctx context.Context, seen <-chan time.Time, then func(time.Time)) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(outputLimit):
		return errNoOutput
	case at := <-seen:
		then(at)
		return nil
	}
}

// measureKeys presses keys while pods change, and measures the time until the
// cursor has moved on the screen.
func (b *bench) measureKeys(ctx context.Context, server *rig.Server) (milliseconds []float64, resident, changed float64, err error) {
	t, err := b.open(server)
	if err != nil {
		return nil, 0, 0, err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	if err := t.Await(ctx, fmt.Sprintf("1/%d", b.pods), "live"); err != nil {
		return nil, 0, 0, err
	}
	churning, stop := context.WithCancel(ctx)
	defer stop()
	type churn struct {
		changes int
		err     error
	}
	churned, start := make(chan churn, 1), time.Now()
	go func() {
		n, err := server.Churn(churning, "load", b.pods, b.rate)
		churned <- churn{n, err}
	}()
	time.Sleep(time.Second)
	for i := range b.presses {
		key := "j"
		if i%40 >= 20 {
			key = "k"
		}
		seen, sent := t.Next("▌"), time.Now()
		if err := t.Send(key); err != nil {
			return nil, 0, 0, err
		}
		if err := awaitOutput(ctx, seen, func(at time.Time) { milliseconds = append(milliseconds, at.Sub(sent).Seconds()*1000) }); err != nil {
			return nil, 0, 0, fmt.Errorf("key %d: %w\n%s", i, err, t.Text())
		}
		time.Sleep(50 * time.Millisecond)
	}
	took := time.Since(start).Seconds()
	resident, err = memory(t.Process.Pid)
	stop()
	made := <-churned
	return milliseconds, resident, float64(made.changes) / took, errors.Join(err, made.err)
}

// memory returns the resident memory of a process in MiB.
func memory(pid int) (float64, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(content)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseFloat(strings.Fields(value)[0], 64)
			return kib / 1024, err
		}
	}
	return 0, errors.New("/proc status has no VmRSS")
}
