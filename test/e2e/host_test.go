package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/tunnel"
)

// process is a process on the host.
type process struct {
	pid     int
	command string
}

// processes returns the processes that have a directory in their arguments or
// environment, except this test process.
func processes(t *testing.T, dir string) []process {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var found []process
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		arguments, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "cmdline"))
		if err != nil || len(arguments) == 0 {
			continue // it has exited, or it is a kernel thread
		}
		environment, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "environ"))
		if err != nil {
			continue // a process of another user
		}
		if mentions(arguments, dir) || mentions(environment, "="+dir) {
			command := string(bytes.TrimSpace(bytes.ReplaceAll(arguments, []byte{0}, []byte{' '})))
			found = append(found, process{pid: pid, command: command})
		}
	}
	return found
}

// mentions reports whether content has a path, and not only one that begins like it.
func mentions(content []byte, path string) bool {
	for {
		_, rest, found := bytes.Cut(content, []byte(path))
		if !found || len(rest) == 0 || !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789-", rune(rest[0])) {
			return found
		}
		content = rest
	}
}

// machine returns the process of a node's machine.
func (r *rig) machine(t *testing.T, cluster, node string) process {
	t.Helper()
	found := r.machines(t, cluster, node)
	if len(found) != 1 {
		t.Fatalf("got %d processes of machine %s, want 1: %+v", len(found), node, found)
	}
	return found[0]
}

// machines returns the machine processes of a node or, if node is empty, of all
// nodes of a cluster.
func (r *rig) machines(t *testing.T, cluster, node string) (found []process) {
	t.Helper()
	dir := filepath.Join(r.home, "clusters", cluster)
	if r.sandboxed {
		// PID 1 of a sandbox has no directories of the host in its arguments.
		if node == "" {
			node = "*"
		}
		files, err := filepath.Glob(filepath.Join(dir, "vm", node, "pid"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if content, err := os.ReadFile(file); err == nil {
				if pid, err := strconv.Atoi(string(content)); err == nil {
					found = append(found, process{pid: pid, command: "sandbox " + file})
				}
			}
		}
		return found
	}
	for _, p := range processes(t, dir) {
		program, _, _ := strings.Cut(p.command, " ")
		// QEMU is also run to query its features. Only machines have a PID file.
		if strings.HasPrefix(filepath.Base(program), "qemu-system-") && strings.Contains(p.command, "-pidfile") &&
			strings.Contains(p.command, "/vm/"+node) {
			found = append(found, p)
		}
	}
	return found
}

// cgroups returns the cgroups of a cluster's sandboxes, by the naming of package
// vm/sandbox.
func cgroups(t *testing.T, dir string) []string {
	t.Helper()
	sum := sha256.Sum256([]byte(filepath.Join(dir, "vm")))
	name := "skiff-" + hex.EncodeToString(sum[:6])
	found, err := filepath.Glob("/sys/fs/cgroup/" + name)
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("/sys/fs/cgroup/*/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return append(found, more...)
}

func kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatalf("kill %d: %v", pid, err)
	}
}

// traces lists everything that a cluster has left on the host.
func (r *rig) traces(t *testing.T, cluster string) []string {
	t.Helper()
	dir := filepath.Join(r.home, "clusters", cluster)
	var found []string
	for _, p := range processes(t, dir) {
		found = append(found, fmt.Sprintf("process %d: %s", p.pid, p.command))
	}
	for _, group := range cgroups(t, dir) {
		found = append(found, "cgroup "+group)
	}
	if device := tunnel.Name(home.Home(r.home).Cluster(cluster)); tunnel.Exists(device) {
		found = append(found, "device "+device)
	}
	for _, table := range []string{"/proc/net/unix", "/proc/self/mountinfo"} {
		data, err := os.ReadFile(table)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			if strings.Contains(line, dir) {
				found = append(found, table+": "+strings.TrimSpace(line))
			}
		}
	}
	// No other file in SKIFF_HOME may be named after the cluster either, except those of
	// other clusters, which may run.
	err := filepath.WalkDir(r.home, func(path string, entry fs.DirEntry, err error) error {
		if filepath.Dir(path) == filepath.Dir(dir) && entry != nil && entry.IsDir() && !strings.Contains(entry.Name(), cluster) {
			return fs.SkipDir
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && strings.Contains(entry.Name(), cluster) {
			found = append(found, "file "+path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// assertNoTraces checks that `down` has left nothing of the cluster.
func (r *rig) assertNoTraces(t *testing.T, cluster string) {
	t.Helper()
	for _, trace := range r.traces(t, cluster) {
		t.Errorf("left by %s: %s", cluster, trace)
	}
}
