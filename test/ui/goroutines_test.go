package ui_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-dev/skiff/test/ui/rig"
)

const (
	// tolerance is the allowed difference in goroutines of one kind, between two
	// deliveries.
	tolerance = 2
	// connections is the allowed number of additional goroutines of all kinds, for
	// open connections.
	connections = 12
	// settleLimit is how long goroutines may take to end. No task takes longer than
	// a minute.
	settleLimit = 90 * time.Second
)

// anchor is the title of a screen that random keys do not open a second time, so
// it stays at the bottom of the stack.
const anchor = "Events of configmap default/anchor"

// createAnchor creates the object of the anchor screen and some events to show.
func createAnchor(t *testing.T, server *rig.Server) {
	t.Helper()
	_, err := server.Client.CoreV1().ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "anchor"}}, metav1.CreateOptions{})
	for i := range 5 {
		name := fmt.Sprintf("anchor.%d", i)
		_, failed := server.Client.CoreV1().Events("default").Create(t.Context(), &corev1.Event{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Type: "Normal", Reason: "Held", Message: "the ship stays where it is", LastTimestamp: metav1.Now(),
			InvolvedObject: corev1.ObjectReference{APIVersion: "v1", Kind: "ConfigMap", Namespace: "default", Name: "anchor"},
		}, metav1.CreateOptions{})
		err = errors.Join(err, failed)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// openAnchored opens the dashboard with the anchor as the first screen. The
// runtime writes a list of goroutines to stderr every two seconds
// (https://pkg.go.dev/runtime#hdr-Environment_Variables).
func openAnchored(t *testing.T, skiff string, server *rig.Server) *session {
	t.Helper()
	s := open(t, skiff, server, []string{"GODEBUG=schedtrace=2000,scheddetail=1"}, "--read-only")
	s.see("Pods in all namespaces", "live")
	s.press(":", "cm default", enter)
	s.see("ConfigMaps in default", "anchor")
	s.press("/", "^anchor$", enter, "E")
	s.see(anchor, "the ship stays")
	// Opening a screen again moves it to the end of the stack.
	s.press(":", "pods", enter, ":", "cm", enter, escape, escape)
	s.see(anchor, "live")
	return s
}

// screens is more than the number of screens that the dashboard keeps open.
const screens = 25

// rest closes everything and opens a fixed screen.
func (s *session) rest() {
	s.t.Helper()
	// One key may clear the filter of a screen and the next one close it. What is on
	// the screen shows little before a busy program has read all of them.
	for range 2 * screens {
		s.press(escape)
	}
	s.see(anchor)
	s.press(":", "ns shop", enter, ":", "cm shop", enter)
	s.see("ConfigMaps in shop", "live")
}

// settle waits until there are about the expected number of goroutines, at most
// for settleLimit.
func (s *session) settle(t *testing.T, want int) {
	t.Helper()
	for start := time.Now(); time.Since(start) < settleLimit; time.Sleep(time.Second) {
		if n := s.count(t); n <= want+tolerance {
			t.Logf("%d goroutines after %s, %d initially", n, time.Since(start).Round(time.Second), want)
			return
		}
	}
}

// steady returns the number of goroutines once three reports in a row differ by no
// more than the tolerance: a busy program starts tasks late.
func (s *session) steady(t *testing.T) int {
	t.Helper()
	var last []int
	eventually(t, "the number of goroutines is steady", func() error {
		last = append(last, s.count(t))
		last = last[max(0, len(last)-3):]
		if len(last) < 3 || slices.Max(last)-slices.Min(last) > tolerance {
			return fmt.Errorf("the last reports have %v", last)
		}
		return nil
	})
	return slices.Max(last)
}

// count returns the number of goroutines that the runtime reports next.
func (s *session) count(t *testing.T) int {
	t.Helper()
	before := len(s.errorOutput(t))
	n := 0
	eventually(t, "the runtime reports its goroutines", func() error {
		// The first block may be old, and the last one incomplete.
		blocks := strings.Split(s.errorOutput(t)[before:], "\nSCHED ")
		if len(blocks) < 3 {
			return errors.New("not yet")
		}
		n = alive(blocks[1])
		return nil
	})
	return n
}

// alive counts the live goroutines of a block: "  G7: status=4(…".
func alive(block string) int {
	n := 0
	for line := range strings.Lines(block) {
		_, status, found := strings.Cut(line, ": status=")
		state, _, _ := strings.Cut(status, "(")
		// 0, 6 and 11 are _Gidle, _Gdead and _Gdeadextra.
		if found && strings.HasPrefix(line, "  G") && state != "0" && state != "6" && state != "11" {
			n++
		}
	}
	return n
}

// errorOutput returns the standard error of the program.
func (s *session) errorOutput(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(s.stderr)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// goroutines returns the stacks of the dashboard's goroutines by kind. It sends
// SIGQUIT, which makes a Go program print them and exit.
func (s *session) goroutines(t *testing.T) map[string][]string {
	t.Helper()
	if err := s.Process.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := s.Wait(ctx); err == nil {
		t.Error("the program exited without error on SIGQUIT")
	}
	all := map[string][]string{}
	for text := range strings.SplitSeq(s.errorOutput(t), "\n\n") {
		if strings.HasPrefix(text, "goroutine ") {
			all[kindOf(text)] = append(all[kindOf(text)], text)
		}
	}
	return all
}

// kindOf returns the outermost function of this project on a stack, or else the
// function that started the goroutine.
func kindOf(stack string) string {
	kind := ""
	for line := range strings.Lines(stack) {
		if by, ok := strings.CutPrefix(line, "created by "); ok && kind == "" {
			kind, _, _ = strings.Cut(strings.TrimSpace(by), " in goroutine")
		} else if strings.HasPrefix(line, "github.com/skiff-dev/skiff/") {
			kind = line[:strings.LastIndexByte(line, '(')] // the last of them is the outermost
		}
	}
	return kind
}

func size(kinds map[string][]string) int {
	n := 0
	for _, stacks := range kinds {
		n += len(stacks)
	}
	return n
}
