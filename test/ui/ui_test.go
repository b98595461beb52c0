// Package ui_test drives the real program in a pseudo-terminal against a real
// API server, as a person would.
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
	// escape is what terminals send that tell it from the beginning of another
	// key's sequence (https://sw.kovidgoyal.net/kitty/keyboard-protocol/); alone is
	// what all others send, and known for what it is when nothing follows for a
	// moment, which a busy machine may let pass unseen.
	escape = "\x1b[27u"
	alone  = "\x1b"
	ctrlC  = "\x03"
	ctrlD  = "\x04"
	down   = "\x1b[B"
	tab    = "\t"
)

// limit is how long anything may take until it shows. It only bounds how long a
// test goes on that fails: the machine may be busy with other things.
const limit = 2 * time.Minute

// session is the program on a screen.
type session struct {
	*terminal.Terminal
	t      *testing.T
	server *rig.Server
	stderr string // the file of what it complains of
}

// programs are built once for all tests.
func programs(t *testing.T) (skiff, controlPlane string) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a control plane")
	}
	controlPlane, err := rig.Program("../..")
	if errors.Is(err, rig.ErrNotBuilt) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if skiff, err = rig.Skiff(t.Context(), "../..", t.TempDir()); err != nil {
		t.Fatal(err)
	}
	return skiff, controlPlane
}

func serve(t *testing.T, controlPlane string) *rig.Server {
	t.Helper()
	s, err := rig.Start(t.Context(), controlPlane, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop() })
	if err := s.Fill(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { s.Kubelets(ctx); close(ended) }()
	t.Cleanup(func() { stop(); <-ended })
	return s
}

func open(t *testing.T, skiff string, s *rig.Server, env []string, args ...string) *session {
	t.Helper()
	cmd := exec.Command(skiff, append([]string{"ui", "--kubeconfig", s.Kubeconfig}, args...)...)
	cmd.Env = append(append(os.Environ(), "SKIFF_HOME="+t.TempDir(), "TERM=xterm-256color", "COLORTERM=truecolor"), env...)
	return show(t, cmd, s)
}

// show runs the dashboard on a screen of its own.
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

// press types keys one after the other, with time for each to be told apart.
func (s *session) press(all ...string) {
	s.t.Helper()
	for _, k := range all {
		if err := s.Send(k); err != nil {
			s.t.Fatal(err)
		}
		time.Sleep(120 * time.Millisecond)
	}
}

// in is the session for a subtest: what fails is that.
func (s *session) in(t *testing.T) *session { return &session{s.Terminal, t, s.server, s.stderr} }

func (s *session) see(texts ...string) {
	s.t.Helper()
	s.await(limit, texts...)
}

// await waits for at most that long until all texts are on the screen.
func (s *session) await(most time.Duration, texts ...string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), most)
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

func TestPeopleFindTheirWayThroughARealCluster(t *testing.T) {
	skiff, controlPlane := programs(t)
	server := serve(t, controlPlane)
	s := open(t, skiff, server, nil)
	s.see("Pods in all namespaces", "CrashLoopBackOff", "db-0", "live")

	t.Run("describe, YAML, tree", func(t *testing.T) {
		s := s.in(t)
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
	})
	t.Run("workloads and containers", func(t *testing.T) {
		s := s.in(t)
		s.press(":", "wk", enter)
		s.see("Workloads", "StatefulSet", "DaemonSet", "CronJob", "Progressing")
		s.press("/", "^db$", enter, ctrlD)
		s.see("Delete statefulset?", "It has 3 pods")
		s.press("n", enter)
		s.see("Pods of statefulset shop/db", "db-0")
		s.press(enter)
		s.see("Containers of pod shop/db-0", "postgres", "Running", "RESTARTS", "1m/1Mi")
		s.press(escape, escape, escape, escape)
	})
	t.Run("a namespace says what is in it", func(t *testing.T) {
		s := s.in(t)
		s.press(":", "ns", enter)
		s.see("Namespaces", "observability")
		s.press("/", "^shop$", enter, ctrlD)
		s.see("Delete namespace?", "4 deployments, 1 statefulset", "Type shop")
		s.press(escape, escape, escape)
	})
	t.Run("a secret stays hidden until it is asked for", func(t *testing.T) {
		s := s.in(t)
		s.press(":", "secrets shop", enter)
		s.see("db-login")
		s.press("y")
		s.see("bytes)", "values hidden")
		if encoded := "Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5"; strings.Contains(s.Text(), encoded) || strings.Contains(s.Text(), "correct-horse") {
			t.Error("it is not hidden")
		}
		s.press("x")
		s.see("password: correct-horse-battery", "values shown")
		s.press(escape)
	})
	t.Run("completion, scale, restart, history", func(t *testing.T) {
		s := s.in(t)
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
	})
	t.Run("delete asks first", func(t *testing.T) {
		s := s.in(t)
		s.press(escape, ":", "cm shop", enter)
		s.see("ConfigMaps in shop", "kube-root-ca.crt")
		s.press("/", "^web$", enter, ctrlD)
		s.see("Delete configmap?", "shop/web")
		s.press("n", ctrlD, "y")
		s.gone("Delete configmap?")
		eventually(t, "the object is gone", func() error {
			_, err := server.Client.CoreV1().ConfigMaps("shop").Get(t.Context(), "web", metav1.GetOptions{})
			if err == nil {
				return errors.New("it is there")
			}
			return nil
		})
	})
	t.Run("cordon and control plane", func(t *testing.T) {
		s := s.in(t)
		s.press(escape, ":", "nodes", enter)
		s.see("Nodes of native", "worker-2")
		s.press(down, "C")
		s.see("SchedulingDisabled")
		s.press("U")
		s.gone("SchedulingDisabled")
		s.press(":", "controlplane", enter)
		s.see("checks passed", "skiff-controlplane", "expires in")
	})
	t.Run("it ends when asked", func(t *testing.T) {
		s := s.in(t)
		s.press(":", "q", enter)
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		if err := s.Wait(ctx); err != nil {
			t.Error(err)
		}
	})
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

func TestARefusedEditIsShownInTheEditor(t *testing.T) {
	skiff, controlPlane := programs(t)
	server := serve(t, controlPlane)
	// The first time it asks for what is not allowed, then for what is.
	script := filepath.Join(t.TempDir(), "editor")
	content := `#!/bin/sh
cp "$1" "$1.seen.$(date +%N)"
if grep -q 'The change was rejected' "$1"; then
  sed -i 's/replicas: -3/replicas: 3/' "$1"; cp "$1" "` + script + `.refused"
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
	eventually(t, "the edit arrives", func() error {
		d, err := server.Client.AppsV1().Deployments("shop").Get(t.Context(), "cart", metav1.GetOptions{})
		if err == nil && *d.Spec.Replicas != 3 {
			err = fmt.Errorf("it has %d replicas", *d.Spec.Replicas)
		}
		return err
	})
	refused, err := os.ReadFile(script + ".refused")
	if err != nil || !strings.Contains(string(refused), "must be greater than or equal to 0") {
		t.Errorf("%s, %v", refused, err)
	}
	s.see("Deployments in shop")
}

func TestAClusterThatStopsAnsweringHoldsNothingUp(t *testing.T) {
	skiff, controlPlane := programs(t)
	server := serve(t, controlPlane)
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
	s.press("d") // waits for an answer that does not come
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
	s.see("live") // by itself
	s.press(":", "svc", enter)
	s.see("kubernetes", "live")
}

func TestItGoesOnWhereItWasLeft(t *testing.T) {
	skiff, controlPlane := programs(t)
	server := serve(t, controlPlane)
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
