package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestHostFails kills what runs on the host at random moments of random commands, as a
// crash of the host does, SKIFF_E2E_HOST_FAILS times with one control plane and as often
// with three. After each time `skiff up` must bring back the whole cluster, with everything
// that was acknowledged before: objects by the API server, lines of a file by fsync.
// SKIFF_E2E_SEED repeats a run, as far as the timing of processes allows.
func TestHostFails(t *testing.T) {
	rounds, err := strconv.Atoi(os.Getenv("SKIFF_E2E_HOST_FAILS"))
	if err != nil {
		t.Skip("many failures take many minutes: run `make chaos-host ROUNDS=100`")
	}
	seed := uint64(time.Now().UnixNano())
	if given := os.Getenv("SKIFF_E2E_SEED"); given != "" {
		if seed, err = strconv.ParseUint(given, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("SKIFF_E2E_SEED=%d", seed)
	r := newRig(t)
	for _, controlPlanes := range []int{1, 3} {
		r.subtest(t, fmt.Sprintf("ControlPlanes%d", controlPlanes), func(t *testing.T) {
			f := &hostFailures{
				random: rand.New(rand.NewPCG(seed, uint64(controlPlanes))), cluster: fmt.Sprintf("fails%d", controlPlanes),
				controlPlanes: controlPlanes, workers: 1,
			}
			t.Cleanup(func() { r.discard(t, f.cluster) })
			f.kube = &kube{rig: r, context: "skiff-" + f.cluster, namespace: "default"}
			f.test(t, rounds)
		})
	}
}

// hostFailures is a cluster whose host fails, and what the cluster has acknowledged.
type hostFailures struct {
	*kube
	random        *rand.Rand
	cluster       string
	controlPlanes int
	workers       int // that the last command asked for

	mu      sync.Mutex // guards what follows
	written int        // numbers handed out
	objects []int      // numbers of ConfigMaps that the API server acknowledged
	lines   []int      // numbers that the pod wrote and synced
}

// noticed is how long it may take until the daemon has noticed the end of a machine.
const noticed = time.Second

// recovery bounds how long `skiff up` may take after a failure.
const recovery = 5 * time.Minute

func (f *hostFailures) test(t *testing.T, rounds int) {
	f.up(t, "new")
	f.load(t, f.cluster)
	f.apply(t, "ledger.yaml")
	f.check(t)
	for round := 1; round <= rounds && !t.Failed(); round++ {
		f.round(t, round)
	}
	f.skiff(t, "down", f.cluster)
	f.assertNoTraces(t, f.cluster)
}

// round runs one command with writers beside it, kills something meanwhile or shortly
// after, and repairs the cluster with `skiff up`.
func (f *hostFailures) round(t *testing.T, number int) {
	t.Helper()
	args := f.command()
	delay := time.Duration(f.random.IntN(4000)) * time.Millisecond
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for _, write := range []func(int){f.writeObject, f.writeLine} {
		writers.Go(func() { f.keepWriting(stop, write) })
	}
	command := f.background(t, args...)
	time.Sleep(delay)
	killed := f.fail(t, command.Process)
	_ = command.Wait()
	close(stop)
	writers.Wait()
	time.Sleep(noticed)
	t.Logf("round %d: skiff %s, after %s killed %s", number, strings.Join(args, " "), delay, killed)
	f.up(t, strings.Join(args, " "))
	f.check(t)
}

// command returns the command that is interrupted.
func (f *hostFailures) command() []string {
	switch f.random.IntN(7) {
	case 0:
		return []string{"up", f.cluster}
	case 1:
		return []string{"stop", f.cluster}
	case 2:
		f.workers = 3 - f.workers
		return []string{"up", f.cluster, "--workers", strconv.Itoa(f.workers)}
	case 3:
		return []string{"image", "load", "--cluster", f.cluster, f.image("workload.tar")}
	case 4:
		return []string{"pause", f.cluster}
	case 5:
		return []string{"node", "restart", "--cluster", f.cluster, "worker-1"}
	default:
		return []string{"node", "label", "--cluster", f.cluster, "worker-1", "round=" + strconv.Itoa(f.random.IntN(1000))}
	}
}

// fail kills the command, the daemon, a machine or everything, and returns what it was.
func (f *hostFailures) fail(t *testing.T, command *os.Process) string {
	t.Helper()
	daemon, machines := f.status(t, f.cluster).DaemonPID, f.machines(t, f.cluster, "")
	switch victim := f.random.IntN(4); {
	case victim == 0:
		_ = command.Kill()
		return "the command"
	case victim == 1 && daemon != 0:
		_ = syscall.Kill(daemon, syscall.SIGKILL)
		return "the daemon"
	case victim == 2 && len(machines) > 0:
		machine := machines[f.random.IntN(len(machines))]
		_ = syscall.Kill(machine.pid, syscall.SIGKILL)
		return machine.command
	}
	all := append(processes(t, filepath.Join(f.home, "clusters", f.cluster)), machines...)
	if daemon != 0 {
		all = append(all, process{pid: daemon})
	}
	f.random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, p := range all {
		_ = syscall.Kill(p.pid, syscall.SIGKILL)
	}
	_ = command.Kill()
	return fmt.Sprintf("all of %d processes", len(all))
}

// up repairs the cluster.
func (f *hostFailures) up(t *testing.T, after string) {
	t.Helper()
	a, err := f.attempt(recovery, filepath.Join(f.root, "bin/skiff"), "up", f.cluster, "--control-planes", strconv.Itoa(f.controlPlanes),
		"--workers", strconv.Itoa(f.workers), "--memory", "1536Mi")
	if err != nil || a.code != 0 {
		f.dump(t, f.cluster)
		t.Fatalf("up after %s: exit code %d, %v\n%s%s", after, a.code, err, a.stdout, a.stderr)
	}
	t.Logf("up after %s took %.1f s", after, a.took.Seconds())
}

// check checks that the cluster is whole and has all that it acknowledged.
func (f *hostFailures) check(t *testing.T) {
	t.Helper()
	f.wait(t, "condition=Ready", "nodes", "--all")
	eventually(t, waitLimit, "all machines run", func() error {
		if got := len(f.machines(t, f.cluster, "")); got != f.controlPlanes+f.workers {
			return fmt.Errorf("%d machines, want %d", got, f.controlPlanes+f.workers)
		}
		return nil
	})
	objects := map[string]bool{}
	for _, name := range strings.Fields(f.kubectl(t, "get", "configmaps", "-o", "jsonpath={.items[*].metadata.name}")) {
		objects[name] = true
	}
	for _, number := range f.objects {
		if !objects[fmt.Sprintf("acknowledged-%d", number)] {
			t.Errorf("ConfigMap %d was acknowledged and is lost", number)
		}
	}
	lines := map[string]bool{}
	eventually(t, waitLimit, "the pod runs", func() error { // its status may still be that of the last boot
		a := f.try(t, "exec", "ledger-0", "--", "sh", "-c", "touch /ledger/lines && cat /ledger/lines")
		for _, line := range strings.Fields(a.stdout) {
			lines[line] = true
		}
		if a.code != 0 {
			return fmt.Errorf("%s", a.stderr)
		}
		return nil
	})
	for _, number := range f.lines {
		if !lines[strconv.Itoa(number)] {
			t.Errorf("line %d was synced and is lost", number)
		}
	}
	t.Logf("%d objects and %d lines are there", len(f.objects), len(f.lines))
}

// keepWriting writes numbers until stop is closed.
func (f *hostFailures) keepWriting(stop <-chan struct{}, write func(number int)) {
	for {
		f.mu.Lock()
		f.written++
		number := f.written
		f.mu.Unlock()
		write(number)
		select {
		case <-stop:
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (f *hostFailures) writeObject(number int) {
	if f.acknowledged("created", "create", "configmap", fmt.Sprintf("acknowledged-%d", number)) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.objects = append(f.objects, number)
	}
}

// writeLine takes only the word of the pod: kubectl exec succeeds if its stream ends early.
func (f *hostFailures) writeLine(number int) {
	if f.acknowledged("synced", "exec", "ledger-0", "--", "sh", "-c", fmt.Sprintf("echo %d >>/ledger/lines && sync /ledger/lines && echo synced", number)) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.lines = append(f.lines, number)
	}
}

// acknowledged reports whether kubectl succeeded and printed a word.
func (f *hostFailures) acknowledged(word string, args ...string) bool {
	a, err := f.attempt(10*time.Second, f.tool("kubectl"), f.arguments(args)...)
	return err == nil && a.code == 0 && strings.Contains(a.stdout, word)
}
