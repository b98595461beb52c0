package ui_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-dev/skiff/test/ui/rig"
)

const (
	// between is how many goroutines of a kind more or less are one delivery
	// taken and the next one not waited for yet.
	between = 2
	// connections is how many more there may be of all kinds together: those of
	// connections that happen to be open.
	connections = 12
	// settleLimit is how long what was left behind may take to end. No task
	// takes longer than a minute.
	settleLimit = 90 * time.Second
)

// anchor is the title of a screen that nothing but its own way leads to: it
// stays the first, whatever keys are pressed.
const anchor = "Events of configmap default/anchor"

// anchored makes the object that has that screen, and something to see on it.
func anchored(t *testing.T, server *rig.Server) {
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

// openAnchored opens the dashboard with that screen as the first. The runtime
// tells every two seconds which goroutines there are
// (https://pkg.go.dev/runtime#hdr-Environment_Variables).
func openAnchored(t *testing.T, skiff string, server *rig.Server) *session {
	t.Helper()
	s := open(t, skiff, server, []string{"GODEBUG=schedtrace=2000,scheddetail=1"}, "--read-only")
	s.see("Pods in all namespaces", "live")
	s.press(":", "cm default", enter)
	s.see("ConfigMaps in default", "anchor")
	s.press("/", "^anchor$", enter, "E")
	s.see(anchor, "the ship stays")
	// What is shown again has its place at the end of the way.
	s.press(":", "pods", enter, ":", "cm", enter, escape, escape)
	s.see(anchor, "live")
	return s
}

// rest goes to the same screen as ever with nothing open.
func (s *session) rest() {
	s.t.Helper()
	for range 25 { // out of every screen
		s.press(escape)
	}
	s.see(anchor)
	s.press(":", "ns shop", enter, ":", "cm shop", enter)
	s.see("ConfigMaps in shop", "live")
}

// settle waits until there are about as many goroutines as wanted, or for as
// long as anything that was left behind may take.
func (s *session) settle(t *testing.T, wanted int) {
	t.Helper()
	for begun := time.Now(); time.Since(begun) < settleLimit; time.Sleep(time.Second) {
		if n := s.count(t); n <= wanted+between {
			t.Logf("%d goroutines after %s, %d at first", n, time.Since(begun).Round(time.Second), wanted)
			return
		}
	}
}

// count is how many goroutines the runtime says that there are from now on.
func (s *session) count(t *testing.T) int {
	t.Helper()
	before := len(s.complaints(t))
	n := 0
	eventually(t, "the runtime tells its goroutines", func() error {
		// The first block may be older than now, and the last not whole.
		blocks := strings.Split(s.complaints(t)[before:], "\nSCHED ")
		if len(blocks) < 3 {
			return errors.New("not yet")
		}
		n = alive(blocks[1])
		return nil
	})
	return n
}

// alive counts the goroutines of a block that are not over: "  G7: status=4(…".
func alive(block string) int {
	n := 0
	for line := range strings.Lines(block) {
		_, status, isOne := strings.Cut(line, ": status=")
		state, _, _ := strings.Cut(status, "(")
		// 0, 6 and 11 are _Gidle, _Gdead and _Gdeadextra.
		if isOne && strings.HasPrefix(line, "  G") && state != "0" && state != "6" && state != "11" {
			n++
		}
	}
	return n
}

// complaints are all that the program has written to its standard error.
func (s *session) complaints(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(s.stderr)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// goroutines of the dashboard by what they were started for, each with where it
// is: as SIGQUIT, which ends it, makes any Go program tell.
func (s *session) goroutines(t *testing.T) map[string][]string {
	t.Helper()
	if err := s.Process.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := s.Wait(ctx); err == nil {
		t.Error("it has no idea of SIGQUIT")
	}
	all := map[string][]string{}
	for text := range strings.SplitSeq(s.complaints(t), "\n\n") {
		if strings.HasPrefix(text, "goroutine ") {
			all[kindOf(text)] = append(all[kindOf(text)], text)
		}
	}
	return all
}

// kindOf is the function of ours that a goroutine was started for, or whatever
// started it.
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
