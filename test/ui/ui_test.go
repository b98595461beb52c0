// Package ui_test drives the skiff program in a pseudo-terminal, as a user would,
// against a real API server.
package ui_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-dev/skiff/test/ui/rig"
	"github.com/skiff-dev/skiff/test/ui/terminal"
)

// Sequences that a terminal sends for keys.
const (
	enter = "\r"
	// escape is the unambiguous encoding of the escape key
	// (https://sw.kovidgoyal.net/kitty/keyboard-protocol/). alone is the traditional
	// one, which also starts other sequences; it is only recognized if nothing
	// follows for a moment, which is unreliable on a busy machine.
	escape = "\x1b[27u"
	alone  = "\x1b"
	ctrlC  = "\x03"
	ctrlD  = "\x04"
	down   = "\x1b[B"
	tab    = "\t"
)

// limit is how long to wait for text on the screen. It is long, because the
// machine may be busy; only failing tests take that long.
const limit = 2 * time.Minute

// session is a running dashboard and its screen.
type session struct {
	*terminal.Terminal
	t      *testing.T
	server *rig.Server
	stderr string // path of a file with its standard error
}

// build builds the skiff program and returns its path.
func build(t *testing.T) string {
	t.Helper()
	skiff, err := rig.Skiff(t.Context(), "../..", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return skiff
}

func open(t *testing.T, skiff string, s *rig.Server, env []string, args ...string) *session {
	t.Helper()
	cmd := exec.Command(skiff, append([]string{"ui", "--kubeconfig", s.Kubeconfig}, args...)...)
	cmd.Env = append(append(os.Environ(), "SKIFF_HOME="+t.TempDir(), "TERM=xterm-256color", "COLORTERM=truecolor"), env...)
	return show(t, cmd, s)
}

// show runs a command in a new terminal.
func show(t *testing.T, cmd *exec.Cmd, s *rig.Server) *session {
	t.Helper()
	stderr, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stderr.Close() }()
	cmd.Stderr = stderr
	term, err := terminal.Start(cmd, 140, 40)
	if err != nil {
		t.Skipf("no pseudo-terminal here: %v", err)
	}
	t.Cleanup(func() { _ = term.Close() })
	return &session{term, t, s, stderr.Name()}
}

// press types keys, with a pause after each so that they are read separately.
func (s *session) press(all ...string) {
	s.t.Helper()
	for _, k := range all {
		if err := s.Send(k); err != nil {
			s.t.Fatal(err)
		}
		time.Sleep(120 * time.Millisecond)
	}
}

// in returns the session for a subtest, so that failures are reported there.
func (s *session) in(t *testing.T) *session { return &session{s.Terminal, t, s.server, s.stderr} }

func (s *session) see(texts ...string) {
	s.t.Helper()
	s.await(limit, texts...)
}

// await waits until all texts are on the screen.
func (s *session) await(timeout time.Duration, texts ...string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), timeout)
	defer cancel()
	if err := s.Await(ctx, texts...); err != nil {
		s.t.Fatal(err)
	}
}

func (s *session) gone(text string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), limit)
	defer cancel()
	if err := s.AwaitGone(ctx, text); err != nil {
		s.t.Fatal(err)
	}
}

func TestNavigateAndChangeARealCluster(t *testing.T) {
	server := rig.Serve(t, "../..")
	skiff := build(t)
	s := open(t, skiff, server, nil)
	s.see("Pods in all namespaces", "CrashLoopBackOff", "db-0", "live")

	for _, test := range []struct {
		name string
		run  func(*testing.T, *session)
	}{
		{"describe, YAML, tree", navigateTexts},
		{"workloads and containers", navigateWorkloads},
		{"namespace deletion lists its content", namespaceDeletion},
		{"secret is hidden until revealed", revealSecret},
		{"completion, scale, restart, history", scaleAndRestart},
		{"delete asks first", deleteObject},
		{"cordon and control plane", cordonNode},
		{"quit", quit},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, s.in(t)) })
	}
}

func navigateTexts(_ *testing.T, s *session) {
	s.press("/", "db-0", enter)
	s.gone("payments")
	s.press("d")
	s.see("Name:", "Service Account:")
	s.press(alone)
	s.gone("Service Account:")
	s.press("y")
	s.see("apiVersion: v1", "kind: Pod")
	s.press(escape, "t")
	s.see("StatefulSet db", "postgres")
	s.press(escape, escape)
	s.see("payments")
}

func navigateWorkloads(_ *testing.T, s *session) {
	s.press(":", "wk", enter)
	s.see("Workloads", "StatefulSet", "DaemonSet", "CronJob", "Progressing")
	s.press("/", "^db$", enter, ctrlD)
	s.see("Delete statefulset?", "It has 3 pods")
	s.press("n", enter)
	s.see("Pods of statefulset shop/db", "db-0")
	s.press(enter)
	s.see("Containers of pod shop/db-0", "postgres", "Running", "RESTARTS", "1m/1Mi")
	s.press(escape, escape, escape, escape)
}

func namespaceDeletion(_ *testing.T, s *session) {
	s.press(":", "ns", enter)
	s.see("Namespaces", "observability")
	s.press("/", "^shop$", enter, ctrlD)
	s.see("Delete namespace?", "4 deployments, 1 statefulset", "Type shop")
	s.press(escape, escape, escape)
}

func revealSecret(t *testing.T, s *session) {
	s.press(":", "secrets shop", enter)
	s.see("db-login")
	s.press("y")
	s.see("bytes)", "values hidden")
	if encoded := "Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5"; strings.Contains(s.Text(), encoded) || strings.Contains(s.Text(), "correct-horse") {
		t.Error("the secret is not hidden")
	}
	s.press("x")
	s.see("password: correct-horse-battery", "values shown")
	s.press(escape)
}

func scaleAndRestart(_ *testing.T, s *session) {
	s.press(":", "deplo", tab, " shop", enter)
	s.see("Deployments in shop", "web")
	s.press("/", "web", enter, "s")
	s.see("Scale deployment shop/web")
	s.press("\x7f", "2", enter)
	s.see("Scale deployment shop/web down from 4 to 2?", "2 pods are deleted")
	s.press("y")
	s.see("scaled to 2 replicas", "2/2")
	s.press("r")
	s.see("Restart deployment?")
	s.press("y")
	s.see("restarted")
	s.press("h")
	s.see("REVISION", "2  ")
	s.press(escape)
}

func deleteObject(t *testing.T, s *session) {
	s.press(escape, ":", "cm shop", enter)
	s.see("ConfigMaps in shop", "kube-root-ca.crt")
	s.press("/", "^web$", enter, ctrlD)
	s.see("Delete configmap?", "shop/web")
	s.press("n", ctrlD, "y")
	s.gone("Delete configmap?")
	eventually(t, "the object is deleted", func() error {
		_, err := s.server.Client.CoreV1().ConfigMaps("shop").Get(t.Context(), "web", metav1.GetOptions{})
		if err == nil {
			return errors.New("it still exists")
		}
		return nil
	})
}

func cordonNode(_ *testing.T, s *session) {
	s.press(escape, ":", "nodes", enter)
	s.see("Nodes of native", "worker-2")
	s.press(down, "C")
	s.see("SchedulingDisabled")
	s.press("U")
	s.gone("SchedulingDisabled")
	s.press(":", "controlplane", enter)
	s.see("checks passed", "skiff-controlplane", "expires in")
}

func quit(t *testing.T, s *session) {
	s.press(":", "q", enter)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := s.Wait(ctx); err != nil {
		t.Error(err)
	}
}

func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	t.Fatalf("%s: %v", what, err)
}

func TestRejectedEditReopensTheEditor(t *testing.T) {
	server := rig.Serve(t, "../..")
	skiff := build(t)
	// The editor first makes an invalid change and then a valid one.
	script := filepath.Join(t.TempDir(), "editor")
	content := `#!/bin/sh
cp "$1" "$1.seen.$(date +%N)"
if grep -q 'The change was rejected' "$1"; then
  sed -i 's/replicas: -3/replicas: 3/' "$1"; cp "$1" "` + script + `.rejected"
else
  sed -i 's/replicas: 2/replicas: -3/' "$1"
fi
rm -f "$1".seen.*
`
	if err := os.WriteFile(script, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
	s := open(t, skiff, server, []string{"EDITOR=" + script, "VISUAL=", "KUBE_EDITOR=", "SKIFF_EDITOR="})
	s.see("live")
	s.press(":", "deploy shop", enter)
	s.see("cart")
	s.press("/", "cart", enter, "e")
	eventually(t, "the edit is applied", func() error {
		d, err := server.Client.AppsV1().Deployments("shop").Get(t.Context(), "cart", metav1.GetOptions{})
		if err == nil && *d.Spec.Replicas != 3 {
			err = fmt.Errorf("it has %d replicas", *d.Spec.Replicas)
		}
		return err
	})
	rejected, err := os.ReadFile(script + ".rejected")
	if err != nil || !strings.Contains(string(rejected), "must be greater than or equal to 0") {
		t.Errorf("%s, %v", rejected, err)
	}
	s.see("Deployments in shop")
}

func TestUnresponsiveClusterDoesNotBlock(t *testing.T) {
	server := rig.Serve(t, "../..")
	skiff := build(t)
	s := open(t, skiff, server, nil)
	s.see("db-0", "live")
	if err := server.Freeze(); err != nil {
		t.Fatal(err)
	}
	thawed := false
	defer func() {
		if !thawed {
			_ = server.Thaw()
		}
	}()
	s.press("d") // the server does not respond
	s.press(escape, ":", "help", enter)
	s.see("Help: ")
	s.press(escape)
	s.see("db-0")
	s.see("no response,", "s old", "retrying")
	s.see("db-0")
	s.press(":", "nodes", enter)
	s.see("Nodes of native")
	s.press(escape)
	if err := server.Thaw(); err != nil {
		t.Fatal(err)
	}
	thawed = true
	if err := server.Client.CoreV1().Pods("shop").Delete(t.Context(), "db-0", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	s.see("live") // without a key press
	s.press(":", "svc", enter)
	s.see("kubernetes", "live")
}

func TestLastScreenIsRestored(t *testing.T) {
	server := rig.Serve(t, "../..")
	skiff := build(t)
	home := []string{"SKIFF_HOME=" + t.TempDir()}
	s := open(t, skiff, server, home)
	s.see("db-0", "live")
	s.press(":", "wk", enter)
	s.see("Workloads in all namespaces", "live")
	s.press(":", "dp", enter)
	s.see("Deployments in all namespaces")
	s.press("N")
	s.see("NAME↑")
	s.press(ctrlC)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := s.Wait(ctx); err != nil {
		t.Error(err)
	}
	s = open(t, skiff, server, home)
	s.see("Deployments in all namespaces", "NAME↑", "live")
}
