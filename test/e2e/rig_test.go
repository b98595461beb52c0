package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// commandTimeout bounds a command. Emulated machines are slow, but a command that
// hangs must not use up the time of the whole run.
const commandTimeout = 8 * time.Minute

// rig is the environment that all tests share: programs, directories and a
// separate SKIFF_HOME.
type rig struct {
	recorder
	root       string // of the repository
	out        string // build/e2e
	home       string // SKIFF_HOME
	shared     string // a directory of the host that the shared cluster mounts at /shared
	kubeconfig string
	env        []string
	keep       bool
	chosen     bool // SKIFF_E2E_DRIVER is set
	sandboxed  bool // SKIFF_E2E_DRIVER=sandbox: nodes are not virtual machines
}

// newRig skips the test unless end-to-end tests are enabled.
func newRig(t *testing.T) *rig {
	t.Helper()
	if os.Getenv("SKIFF_E2E") == "" {
		t.Skip("end-to-end tests need SKIFF_E2E=1 and built programs: run `make e2e`")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	// Not t.TempDir, whose path is too long for the sockets of a cluster: a socket
	// path has at most 104 bytes.
	home, err := os.MkdirTemp("", "skiff-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{
		root: root, out: filepath.Join(root, "build/e2e"), home: filepath.Join(home, "h"),
		shared:     filepath.Join(home, "shared"),
		kubeconfig: filepath.Join(home, "kubeconfig"), keep: os.Getenv("SKIFF_E2E_KEEP") != "",
	}
	if existing := os.Getenv("SKIFF_E2E_KUBECONFIG"); existing != "" {
		r.kubeconfig = existing
	}
	if err := os.RemoveAll(r.out); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		t.Fatal(err)
	}
	r.env = append(os.Environ(),
		"SKIFF_HOME="+r.home, "KUBECONFIG="+r.kubeconfig, "KUBECACHEDIR="+filepath.Join(home, "kubecache"),
		"HELM_CACHE_HOME="+filepath.Join(home, "helm"), "HELM_CONFIG_HOME="+filepath.Join(home, "helm"),
		"HELM_DATA_HOME="+filepath.Join(home, "helm"), "SKIFF_TEMPLATES=off",
		"PATH="+filepath.Join(root, "build/test/bin")+":"+os.Getenv("PATH"))
	if driver := os.Getenv("SKIFF_E2E_DRIVER"); driver != "" {
		r.env, r.chosen, r.sandboxed = append(r.env, "SKIFF_DRIVER="+driver), true, driver == "sandbox"
	}
	t.Cleanup(func() {
		r.write(t, r.out)
		if r.keep {
			t.Logf("kept: SKIFF_HOME=%s KUBECONFIG=%s", r.home, r.kubeconfig)
			return
		}
		if err := os.RemoveAll(home); err != nil {
			t.Error(err)
		}
	})
	return r
}

func (r *rig) tool(name string) string { return filepath.Join(r.root, "build/test/bin", name) }

func (r *rig) image(name string) string { return filepath.Join(r.root, "build/test/images", name) }

// commandResult is the result of a finished command.
type commandResult struct {
	stdout, stderr string
	code           int
	took           time.Duration
}

// must returns the standard output, or ends the test if the command failed.
func (a commandResult) must(t *testing.T, what ...string) string {
	t.Helper()
	if a.code != 0 {
		t.Fatalf("%s: exit code %d\n%s%s", strings.Join(what, " "), a.code, a.stdout, a.stderr)
	}
	return a.stdout
}

// attempt runs a command. The exit code is part of the result; the error is for a
// program that cannot be started or times out.
func (r *rig) attempt(limit time.Duration, name string, args ...string) (commandResult, error) {
	// Not the test's context, because clean-up runs commands after its end.
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	command := exec.CommandContext(ctx, name, args...)
	command.Env, command.WaitDelay = r.env, 5*time.Second
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	start := time.Now()
	err := command.Run()
	a := commandResult{stdout: stdout.String(), stderr: stderr.String(), took: time.Since(start)}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return a, fmt.Errorf("%s %s: %w\n%s%s", filepath.Base(name), strings.Join(args, " "), ctx.Err(), a.stdout, a.stderr)
	case errors.As(err, &exit):
		a.code = exit.ExitCode()
	case err != nil:
		return a, fmt.Errorf("%s %s: %w", filepath.Base(name), strings.Join(args, " "), err)
	}
	return a, nil
}

// run is attempt for tests that cannot continue after an error.
func (r *rig) run(t *testing.T, name string, args ...string) commandResult {
	t.Helper()
	a, err := r.attempt(commandTimeout, name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// skiff runs bin/skiff, which must succeed, and returns its standard output.
func (r *rig) skiff(t *testing.T, args ...string) string {
	t.Helper()
	return r.trySkiff(t, args...).must(t, append([]string{"skiff"}, args...)...)
}

// skiffJSON parses the output of a command of skiff with -o json.
func (r *rig) skiffJSON(t *testing.T, into any, args ...string) {
	t.Helper()
	out := r.skiff(t, append(args, "-o", "json")...)
	if err := json.Unmarshal([]byte(out), into); err != nil {
		t.Fatalf("skiff %s -o json: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func (r *rig) trySkiff(t *testing.T, args ...string) commandResult {
	t.Helper()
	return r.run(t, filepath.Join(r.root, "bin/skiff"), args...)
}

// status returns the result of `skiff status -o json`.
func (r *rig) status(t *testing.T, name string) daemonapi.ClusterStatus {
	t.Helper()
	a := r.trySkiff(t, "status", name, "-o", "json")
	var status daemonapi.ClusterStatus
	if err := json.Unmarshal([]byte(a.stdout), &status); err != nil {
		t.Fatalf("skiff status %s -o json (exit code %d): %v\n%s%s", name, a.code, err, a.stdout, a.stderr)
	}
	return status
}

// eventually calls check until it returns nil.
func eventually(t *testing.T, limit time.Duration, what string, check func() error) {
	t.Helper()
	start := time.Now()
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Since(start) > limit {
			t.Fatalf("%s: timed out after %s: %v", what, limit, err)
		}
		time.Sleep(pollPeriod)
	}
}

// contains checks that text contains all parts.
func contains(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%s: no %q in\n%s", what, part, text)
		}
	}
}

// equal checks that got equals want.
func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// filesIn writes files to a temporary directory and returns it.
func filesIn(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// save writes a text to build/e2e, for the analysis of a failure.
func (r *rig) save(t *testing.T, text string, path ...string) {
	file := filepath.Join(append([]string{r.out}, path...)...)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Log(err)
		return
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Log(err)
	}
}

// dump saves the state and the logs of a cluster.
func (r *rig) dump(t *testing.T, cluster string) {
	dir := "failed-" + cluster
	saveOutput := func(file string, args ...string) {
		a, err := r.attempt(time.Minute, args[0], args[1:]...)
		if err != nil {
			a.stderr = err.Error()
		}
		r.save(t, a.stdout+a.stderr, dir, file)
	}
	skiff := filepath.Join(r.root, "bin/skiff")
	saveOutput("status.txt", skiff, "status", cluster, "-o", "json")
	kubectl := []string{r.tool("kubectl"), "--context", "skiff-" + cluster, "--request-timeout", "20s"}
	saveOutput("nodes.txt", append(kubectl, "describe", "nodes")...)
	saveOutput("pods.txt", append(kubectl, "get", "pods", "-A", "-o", "wide")...)
	saveOutput("events.txt", append(kubectl, "get", "events", "-A", "--sort-by", ".lastTimestamp")...)
	for _, node := range []string{"control-plane-1", "worker-1", "worker-2"} {
		saveOutput("logs-"+node+".txt", skiff, "logs", node, "--cluster", cluster)
	}
	// Console and daemon logs are files, which can be read even if nothing responds.
	_ = filepath.WalkDir(filepath.Join(r.home, "clusters", cluster), func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() && strings.HasSuffix(path, ".log") {
			if data, err := os.ReadFile(path); err == nil {
				r.save(t, string(data), dir, strings.ReplaceAll(strings.TrimPrefix(path, r.home+"/clusters/"+cluster+"/"), "/", "-"))
			}
		}
		return nil
	})
}
