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

// slow is how long what machines do may take: they share the host with others.
const slow = 6 * time.Minute

// realCluster is a cluster of sandboxes with a home of its own.
type realCluster struct {
	t                *testing.T
	root, name, home string
	env              []string
}

// newCluster brings up a cluster of one worker. It skips where nobody has asked
// for it, or where this host cannot run one.
func newCluster(t *testing.T, name string) *realCluster {
	t.Helper()
	if os.Getenv("SKIFF_E2E") == "" {
		t.Skip("needs SKIFF_E2E=1 and built programs: run `make e2e`")
	}
	if os.Getenv("SKIFF_E2E_KUBECONFIG") != "" {
		t.Skip("only the cluster of SKIFF_E2E_KUBECONFIG is asked for")
	}
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		t.Skip("sandboxes need Linux and root")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	// Not t.TempDir: the path of a socket has at most 104 characters.
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

// discard takes down whatever clusters there are, and their home.
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

// run runs a command with the cluster's environment and returns all it printed.
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

// kubectl must succeed; it returns what was printed.
func (c *realCluster) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := c.run(filepath.Join(c.root, "build/test/bin/kubectl"), append([]string{"--context", "skiff-" + c.name, "-n", "shop"}, args...)...)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return strings.TrimSpace(out)
}

// open starts the dashboard of the cluster.
func (c *realCluster) open(t *testing.T, env ...string) *session {
	t.Helper()
	return c.start(t, []string{"ui", c.name}, env...)
}

// start runs skiff on a screen of its own.
func (c *realCluster) start(t *testing.T, args []string, env ...string) *session {
	t.Helper()
	cmd := exec.Command(c.skiff(), args...)
	cmd.Env = append(c.env[:len(c.env):len(c.env)], env...)
	return show(t, cmd, nil)
}

// until waits, as long as machines may take, until all texts are on the screen.
func (s *session) until(texts ...string) {
	s.t.Helper()
	s.await(slow, texts...)
}

// finishes waits until the command on the screen is over, which must go well.
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

// visit goes to a screen, narrowed by a filter if there is one.
func (s *session) visit(command, filter string, texts ...string) {
	s.t.Helper()
	s.press(escape, escape, ":", command, enter)
	if filter != "" {
		s.press("/", filter, enter)
	}
	s.see(texts...)
}
