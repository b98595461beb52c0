package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/vm/machine"
)

// busyIn starts a program that always uses CPU in the group of a machine.
func busyIn(t *testing.T, g groups, name string) *exec.Cmd {
	t.Helper()
	busy := exec.CommandContext(t.Context(), "sh", "-c", "while :; do :; done")
	if err := busy.Start(); err != nil {
		t.Fatal(err)
	}
	if err := g.enter(name, busy.Process.Pid); err != nil {
		t.Fatal(errors.Join(err, busy.Process.Kill()))
	}
	return busy
}

func grows(t *testing.T, g groups, name string) {
	t.Helper()
	before := g.cpu(name)
	waitFor(t, "the program to use CPU", func() bool { return g.cpu(name) > before })
}

func TestAFrozenGroupUsesNoCPUAndCanBeKilled(t *testing.T) {
	for version, open := range map[string]func(t *testing.T) groups{
		"the host's": func(t *testing.T) groups {
			if err := Available(); err != nil {
				t.Skip(err)
			}
			g, err := newGroups(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = g.remove("") })
			if err := g.create(machine.Machine{Name: "one", CPUs: 1, MemoryMiB: 64}); err != nil {
				t.Skip(err)
			}
			return g
		},
		"the second": func(t *testing.T) groups {
			h := secondVersion(t)
			g := groups{hierarchies: []hierarchy{h}, name: fmt.Sprintf("skiff-frozen-%d", os.Getpid())}
			t.Cleanup(func() { _ = g.remove("") })
			for _, dir := range []string{g.name, filepath.Join(g.name, "one")} {
				if err := h.mkdir(filepath.Join(h.mount, dir)); err != nil {
					t.Skip(err) // the root of a container's cgroups, which holds processes
				}
			}
			return g
		},
	} {
		t.Run(version, func(t *testing.T) {
			g := open(t)
			busy := busyIn(t, g, "one")
			grows(t, g, "one")
			for range 2 {
				if err := g.freeze(t.Context(), "one"); errors.Is(err, errors.ErrUnsupported) {
					t.Skip(err)
				} else if err != nil {
					t.Fatal(err)
				}
			}
			before := g.cpu("one")
			time.Sleep(100 * time.Millisecond)
			if took := g.cpu("one") - before; took > time.Millisecond {
				t.Errorf("a frozen group used %s of CPU time", took)
			}
			if err := g.thaw("one"); err != nil {
				t.Fatal(err)
			}
			grows(t, g, "one")
			if err := g.freeze(t.Context(), "one"); err != nil {
				t.Fatal(err)
			}
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_ = busy.Wait() // the process state has the details
			}()
			if err := g.remove(""); err != nil {
				t.Fatal(err)
			}
			<-ended
			if end := busy.ProcessState.Sys().(syscall.WaitStatus); end.Signal() != syscall.SIGKILL {
				t.Errorf("the program ended: %s", busy.ProcessState)
			}
		})
	}
}

func TestFreezingWithoutAFreezerIsUnsupported(t *testing.T) {
	g := groups{hierarchies: []hierarchy{{mount: t.TempDir(), controllers: []string{"memory"}}}, name: "x"}
	if err := g.freeze(t.Context(), "one"); !errors.Is(err, errors.ErrUnsupported) {
		t.Error(err)
	}
	// A kernel that cannot freeze cgroups of version 2.
	g = groups{hierarchies: []hierarchy{{mount: t.TempDir()}}, name: "x"}
	if err := os.MkdirAll(filepath.Join(g.hierarchies[0].mount, "x", "one"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := g.freeze(t.Context(), "one"); !errors.Is(err, errors.ErrUnsupported) {
		t.Error(err)
	}
	g.release("one")
}
