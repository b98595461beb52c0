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
)

var soak = flag.Duration("soak", 0, "how long to press random keys while objects change; 0: a few seconds")

// keyboard is what a cat on the keyboard presses; nothing of it leaves.
var keyboard = []string{
	"j", "k", "d", "y", "e", "t", "q", "\x00", "l", "w", "n", "N", "A", ">", "<", "~", "g", "G", "?", "E", "O", "c", "f", "s", "h", "p", "x", "J", " ",
	enter, alone, alone, alone, tab, down, "\x1b[A", "\x1b[C", "\x1b[D", "\x1b[5~", "\x1b[6~", "\x01", "\x1a", "/", "web", "!", "(",
	"\x1b[<0;20;8M", "\x1b[<64;20;8M", "\x1b[<65;20;8M",
}

// places are where it starts from every now and then.
var places = []string{"pods", "deploy", "wk", "resources", "nodes", "pulse", "events", "secrets", "svc", "controlplane", "clusters", "forwards", "crd", "ns all", "theme dusk", "theme none", "pods shop"}

func TestRandomKeysAndChangesDoNoHarm(t *testing.T) {
	skiff, controlPlane := programs(t)
	server := serve(t, controlPlane)
	const pods = 200
	if err := server.Pods(t.Context(), "load", pods); err != nil {
		t.Fatal(err)
	}
	anchored(t, server)
	fresh := openAnchored(t, skiff, server)
	fresh.rest()
	few := fresh.count(t)
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
	random := rand.New(rand.NewPCG(seed, 1))
	t.Logf("seed %d", seed)
	early, pressed := 0, 0
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
		if early == 0 && time.Since(start) > length/4 {
			early = resident(t, s.Process.Pid)
		}
	}
	late := resident(t, s.Process.Pid)
	t.Logf("%d keys, %d changes, %d MiB after a quarter, %d MiB at the end", pressed, <-churned, early, late)
	if late > early+early/2+40 {
		t.Errorf("it grew from %d to %d MiB", early, late)
	}
	// The last random key may be half of a sequence, which takes the next with it.
	s.press(escape, escape)
	s.rest()
	s.settle(t, few)
	left := s.goroutines(t)
	t.Logf("%d goroutines before, %d after", size(idle), size(left))
	for kind, stacks := range left {
		if more := len(stacks) - len(idle[kind]); more > between {
			t.Errorf("%d more goroutines than at first are in %s, one of them:\n%s", more, kind, stacks[0])
		}
	}
	if size(left) > size(idle)+connections {
		t.Errorf("%d goroutines at first, %d after all that", size(idle), size(left))
	}
}

// resident is a process' memory in MiB.
func resident(t *testing.T, pid int) int {
	t.Helper()
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skipf("its memory cannot be read: %v", err)
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
