package ui_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// slow is the timeout for operations of machines, on a shared host.
const slow = 6 * time.Minute

// realCluster is a cluster of sandboxes with its own SKIFF_HOME.
type realCluster struct {
	t                *testing.T
	root, name, home string
	env              []string
}

// newCluster starts a cluster with one worker. It skips the test if end-to-end
// tests are not enabled or this host cannot run sandboxes.
func newCluster(t *testing.T, name string) *realCluster {
	t.Helper()
	if os.Getenv("SKIFF_E2E") == "" {
		t.Skip("needs SKIFF_E2E=1 and built programs: run `make e2e`")
	}
	if os.Getenv("SKIFF_E2E_KUBECONFIG") != "" {
		t.Skip("SKIFF_E2E_KUBECONFIG selects another cluster")
	}
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		t.Skip("sandboxes need Linux and root")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	// Not t.TempDir, whose path is too long: a socket path has at most 104 bytes.
	home, err := os.MkdirTemp("", "skiff-ui-")
	if err != nil {
		t.Fatal(err)
	}
	c := &realCluster{t: t, root: root, name: name, home: home}
	c.env = append(os.Environ(), "SKIFF_HOME="+filepath.Join(home, "h"), "KUBECONFIG="+filepath.Join(home, "kubeconfig"),
		"SKIFF_DRIVER=sandbox", "TERM=xterm-256color", "COLORTERM=truecolor", "KUBECACHEDIR="+filepath.Join(home, "cache"))
	t.Cleanup(func() { c.discard() })
	out, err := c.run(c.skiff(), "up", name, "--workers", "1", "--memory", "1536Mi")
	if err != nil && strings.Contains(out, "driver not available") {
		t.Skip(out)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return c
}

func (c *realCluster) skiff() string { return filepath.Join(c.root, "bin/skiff") }

// discard deletes all clusters and their home.
func (c *realCluster) discard() {
	entries, err := os.ReadDir(filepath.Join(c.home, "h", "clusters"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		c.t.Error(err)
	}
	for _, e := range entries {
		if out, err := c.run(c.skiff(), "down", e.Name()); err != nil {
			c.t.Errorf("%v\n%s", err, out)
		}
	}
	if err := os.RemoveAll(c.home); err != nil {
		c.t.Error(err)
	}
}

// run runs a command with the cluster's environment and returns its output.
func (c *realCluster) run(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), slow)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env, cmd.WaitDelay = c.env, 5*time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("%s %s: %w", filepath.Base(name), strings.Join(args, " "), err)
	}
	return out.String(), err
}

// kubectl runs kubectl, which must succeed, and returns its output.
func (c *realCluster) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := c.run(filepath.Join(c.root, "build/test/bin/kubectl"), append([]string{"--context", "skiff-" + c.name, "-n", "shop"}, args...)...)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return strings.TrimSpace(out)
}

// open starts the dashboard for the cluster.
func (c *realCluster) open(t *testing.T, env ...string) *session {
	t.Helper()
	return c.start(t, []string{"ui", c.name}, env...)
}

// start runs skiff in a new terminal.
func (c *realCluster) start(t *testing.T, args []string, env ...string) *session {
	t.Helper()
	cmd := exec.Command(c.skiff(), args...)
	cmd.Env = append(c.env[:len(c.env):len(c.env)], env...)
	return show(t, cmd, nil)
}

// until is like see, with the timeout for operations of machines.
func (s *session) until(texts ...string) {
	s.t.Helper()
	s.await(slow, texts...)
}

// finishes waits until the command on the screen has finished successfully.
func (s *session) finishes(command string) {
	s.t.Helper()
	s.see(command)
	for deadline := time.Now().Add(slow); ; time.Sleep(100 * time.Millisecond) {
		title, _, _ := strings.Cut(strings.TrimLeft(after(s.Text(), "\n"), " "), "\n")
		switch {
		case strings.Contains(title, "  finished"):
			return
		case strings.Contains(title, "  failed"), time.Now().After(deadline):
			s.t.Fatalf("%s:\n%s", command, s.Text())
		}
	}
}

func after(text, separator string) string {
	_, rest, _ := strings.Cut(text, separator)
	return rest
}

// visit opens a screen and applies a filter unless it is empty.
func (s *session) visit(command, filter string, texts ...string) {
	s.t.Helper()
	s.press(escape, escape, ":", command, enter)
	if filter != "" {
		s.press("/", filter, enter)
	}
	s.see(texts...)
}
