package ui_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

var soak = flag.Duration("soak", 0, "how long to press random keys while objects change; 0: a few seconds")

// keyboard is what a cat on the keyboard presses; nothing of it leaves.
var keyboard = []string{
	"j", "k", "d", "y", "e", "t", "q", "\x00", "l", "w", "n", "N", "A", ">", "<", "~", "g", "G", "?", "E", "O", "c", "f", "s", "h", "p", "x", "J", " ",
	enter, escape, escape, escape, tab, down, "\x1b[A", "\x1b[C", "\x1b[D", "\x1b[5~", "\x1b[6~", "\x01", "\x1a", "/", "web", "!", "(",
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
	idle := goroutines(t, open(t, skiff, server, nil, "--read-only"))
	s := open(t, skiff, server, nil, "--read-only")
	s.see("live")
	length := max(*soak, 5*time.Second)
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
		if pressed%40 == 0 {
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
	left := goroutines(t, s)
	t.Logf("%d goroutines before, %d after", len(idle), len(left))
	if len(left) > len(idle)+few {
		t.Errorf("%d goroutines at first, %d after all that:\n%s", len(idle), len(left), strings.Join(left, "\n\n"))
	}
}

// few goroutines more or less are connections that happen to be open.
const few = 12

// goroutines of the dashboard, each with where it is, on the same screen with
// nothing open, after which it has ended: as SIGQUIT makes any Go program tell.
func goroutines(t *testing.T, s *session) []string {
	t.Helper()
	for range 25 { // out of every screen
		s.press(escape)
	}
	s.press(":", "ns shop", enter, ":", "cm shop", enter)
	s.see("ConfigMaps in shop", "live")
	time.Sleep(3 * time.Second) // what was left behind ends
	if err := s.Process.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := s.Wait(ctx); err == nil {
		t.Error("it has no idea of SIGQUIT")
	}
	content, err := os.ReadFile(s.stderr)
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Split(string(content), "\n\n")
	return slices.DeleteFunc(all, func(text string) bool { return !strings.HasPrefix(text, "goroutine ") })
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
