package ui_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/test/ui/rig"
)

var soak = flag.Duration("soak", 0, "how long to press random keys while objects change (0: a few seconds)")

// keyboard lists the random keys. None of them quits.
var keyboard = []string{
	"j", "k", "d", "y", "e", "t", "q", "\x00", "l", "w", "n", "N", "A", ">", "<", "~", "g", "G", "?", "E", "O", "c", "f", "s", "h", "p", "x", "J", " ",
	enter, alone, alone, alone, tab, down, "\x1b[A", "\x1b[C", "\x1b[D", "\x1b[5~", "\x1b[6~", "\x01", "\x1a", "/", "web", "!", "(",
	"\x1b[<0;20;8M", "\x1b[<64;20;8M", "\x1b[<65;20;8M",
}

// places are commands that are run from time to time.
var places = []string{"pods", "deploy", "wk", "resources", "nodes", "pulse", "events", "secrets", "svc", "controlplane", "clusters", "forwards", "crd", "ns all", "theme dusk", "theme none", "pods shop"}

func TestSoakLeaksNothing(t *testing.T) {
	server := rig.Serve(t, "../..")
	skiff := build(t)
	const pods = 200
	if err := server.Pods(t.Context(), "load", pods); err != nil {
		t.Fatal(err)
	}
	createAnchor(t, server)
	fresh := openAnchored(t, skiff, server)
	fresh.rest()
	few := fresh.steady(t)
	idle := fresh.goroutines(t)
	s := openAnchored(t, skiff, server)
	length := max(*soak, 10*time.Second)
	ctx, stop := context.WithTimeout(t.Context(), length)
	defer stop()
	churned := make(chan int, 1)
	go func() {
		n, err := server.Churn(ctx, "load", pods, 20)
		if err != nil {
			t.Error(err)
		}
		churned <- n
	}()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	early, pressed := pressRandomKeys(ctx, t, s, rand.New(rand.NewPCG(seed, 1)), length/4)
	late := resident(t, s.Process.Pid)
	t.Logf("%d keys, %d changes, %d MiB after a quarter, %d MiB at the end", pressed, <-churned, early, late)
	if late > early+early/2+40 {
		t.Errorf("memory grew from %d to %d MiB", early, late)
	}
	// The last random key may be the start of a sequence that includes the next key.
	s.press(escape, escape)
	s.rest()
	s.settle(t, few)
	left := s.goroutines(t)
	t.Logf("%d goroutines before, %d after", size(idle), size(left))
	for kind, stacks := range left {
		if more := len(stacks) - len(idle[kind]); more > tolerance {
			t.Errorf("%d additional goroutines in %s, for example:\n%s", more, kind, stacks[0])
		}
	}
	if size(left) > size(idle)+connections {
		t.Errorf("%d goroutines initially, %d at the end", size(idle), size(left))
	}
}

// pressRandomKeys presses keys until ctx ends. It returns the program's memory in
// MiB after early, and the number of keys.
func pressRandomKeys(ctx context.Context, t *testing.T, s *session, random *rand.Rand, early time.Duration) (memory, pressed int) {
	t.Helper()
	for start := time.Now(); ctx.Err() == nil; pressed++ {
		if pressed%15 == 0 {
			s.press(escape, escape, ":", places[random.IntN(len(places))], enter)
		}
		if pressed%150 == 0 {
			if err := s.Resize(80+random.IntN(120), 24+random.IntN(40)); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Send(keyboard[random.IntN(len(keyboard))]); err != nil {
			t.Fatalf("after %d keys: %v\n%s", pressed, err, s.Text())
		}
		time.Sleep(time.Duration(5+random.IntN(40)) * time.Millisecond)
		if memory == 0 && time.Since(start) > early {
			memory = resident(t, s.Process.Pid)
		}
	}
	return memory, pressed
}

// resident returns a process's resident memory in MiB.
func resident(t *testing.T, pid int) int {
	t.Helper()
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skipf("cannot read the memory of the process: %v", err)
	}
	for line := range strings.Lines(string(content)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.Atoi(strings.Fields(value)[0])
			if err != nil {
				t.Fatal(err)
			}
			return kib / 1024
		}
	}
	return 0
}
