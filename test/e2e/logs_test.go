package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// testLogs searches the log store for a running pod, a deleted pod, a previous container,
// events and the audit log. Meanwhile the store's process is killed.
func testLogs(t *testing.T, r *rig, name string, k *kube) {
	k.apply(t, "logs.yaml")
	k.wait(t, "condition=Ready", "pod/writer")
	logs := func(args ...string) []map[string]string {
		t.Helper()
		return entries(t, r.skiff(t, append([]string{"logs", "-c", name, "-n", k.namespace, "-o", "json"}, args...)...))
	}
	found := func(what string, want int, args ...string) []map[string]string {
		t.Helper()
		var got []map[string]string
		eventually(t, waitLimit, what, func() error {
			if got = logs(args...); len(got) < want {
				return fmt.Errorf("%d entries, want %d", len(got), want)
			}
			return nil
		})
		return got
	}

	// All lines of a pod that is deleted right after its last line are stored.
	k.wait(t, "jsonpath={.status.phase}=Succeeded", "pod/short")
	k.kubectl(t, "delete", "pod", "short", "--wait=true")
	lines := found("lines of the deleted pod", 501, "--pod", "short", "--source", "container", "--tail", "0")
	equal(t, "lines of the deleted pod", len(lines), 501)
	for i, line := range lines[:min(len(lines), 500)] {
		equal(t, "line of the deleted pod", line["_msg"], fmt.Sprintf("line %d", i+1))
	}
	found("events of the deleted pod", 1, "--pod", "short", "--source", "event", "--query", "reason:=Started")

	// Fields, labels, streams and stack traces.
	first := found("JSON fields", 1, "-l", "app=writer,tier!=front", "--query", "http.status:=503")[0]
	equal(t, "level", first["level"], "error")
	equal(t, "label", first["label.app"], "writer")
	equal(t, "node", first["node"], k.get(t, "pod/writer", ".spec.nodeName"))
	found("standard error", 1, "--pod", "writer", "--query", `stream:=stderr "on stderr"`)
	trace := found("stack trace", 1, "--pod", "writer", "--query", `"java.lang.Error"`)[0]
	contains(t, "stack trace", trace["_msg"], "at a.Main.main")

	// Nothing is lost when the store's process is killed.
	pid := r.logStore(t, name)
	kill(t, pid)
	eventually(t, waitLimit, "another process keeps the store", func() error {
		if again := r.tryLogStore(t, name); again == 0 || again == pid {
			return fmt.Errorf("process %d", again)
		}
		return nil
	})
	k.sh(t, "writer", "touch /tmp/again")
	k.wait(t, "jsonpath={.status.containerStatuses[0].restartCount}=1", "pod/writer")
	want := strings.Split(strings.TrimSpace(k.kubectl(t, "logs", "writer", "--previous")), "\n")
	last, err := strconv.Atoi(strings.TrimPrefix(want[len(want)-1], "count "))
	if err != nil {
		t.Fatal(err)
	}
	counts := found("lines of the previous container", last, "--pod", "writer", "--query", `attempt:=0 count`, "--tail", "0")
	equal(t, "lines of the previous container", len(counts), last)
	for i, line := range counts {
		equal(t, "line of the previous container", line["_msg"], fmt.Sprintf("count %d", i+1))
	}

	// Entries that do not come from pods.
	audit := entries(t, r.skiff(t, "logs", "-c", name, "--source", "audit", "--since", "1h", "-o", "json", "--query", "objectRef.namespace:="+k.namespace+" verb:=delete objectRef.name:=short"))
	if len(audit) == 0 {
		t.Error("the audit log has no deletion")
	}
	contains(t, "programs", r.skiff(t, "logs", "-c", name, "--source", "nodeagent", "--since", "1h", "--tail", "5"), " nodeagent | ")
	text := r.skiff(t, "logs", "-c", name, "--pod", "writer", "-n", k.namespace, "--query", `"on stderr"`)
	contains(t, "text", text, k.namespace+"/writer work | on stderr")
	a := r.trySkiff(t, "logs", "-c", name, "--query", "| stats")
	equal(t, "exit code of an invalid query", a.code, 2)
	equal(t, "lines of its error", strings.Count(a.stderr, "\n"), 1)
	served := r.served(t, "logs", "serve", "-c", name, "--port", "0")
	equal(t, "health of the served logs", served(t, "/health", nil), "OK")
	contains(t, "served logs", served(t, "/select/logsql/query", url.Values{"query": {`pod:=writer "on stderr"`}, "limit": {"1"}}), "on stderr")
}

// served starts a command that serves a store until the test ends, and returns a function
// that sends requests to it.
func (r *rig) served(t *testing.T, args ...string) func(t *testing.T, path string, form url.Values) string {
	t.Helper()
	command := exec.Command(filepath.Join(r.root, "bin/skiff"), args...) // CommandContext would kill it before the cleanup can interrupt it
	command.Env, command.WaitDelay = r.env, 5*time.Second
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Signal(os.Interrupt)
		_ = command.Wait()
	})
	address := "http://" + readUntil(t, out, `http://(\S+) \(press`)
	return func(t *testing.T, path string, form url.Values) string {
		t.Helper()
		send := func() (*http.Response, error) { return http.Get(address + path) }
		if form != nil {
			send = func() (*http.Response, error) { return http.PostForm(address+path, form) }
		}
		response, err := send()
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s %s, %v", path, response.Status, text, err)
		}
		return string(text)
	}
}

// testKeptLogs searches the logs of a deleted cluster.
func testKeptLogs(t *testing.T, r *rig) {
	const name = "kept"
	t.Cleanup(func() {
		r.discard(t, name)
		r.skiff(t, "prune", "--records")
	})
	r.skiff(t, small("up", name)...)
	r.skiff(t, "shell", "-c", name, "control-plane-1", "--", "sh", "-c", "echo 'last words' >> /var/log/skiff/nodeagent.log")
	r.skiff(t, "down", name, "--keep-records")
	found := entries(t, r.skiff(t, "logs", "-c", name, "--source", "nodeagent", "--query", `"last words"`, "-o", "json"))
	equal(t, "last words of the cluster", len(found), 1)
	contains(t, "audit log", r.skiff(t, "logs", "-c", name, "--source", "audit", "--since", "1h"), " by system:")
	served := r.served(t, "logs", "serve", "-c", name, "--port", "0")
	contains(t, "served logs", served(t, "/select/logsql/query", url.Values{"query": {`"last words"`}}), "last words")
	a := r.trySkiff(t, "logs", "-c", name, "--since", "1h", "-f")
	equal(t, "exit code of following a deleted cluster", a.code, 2)
	contains(t, "list of records", r.skiff(t, "list", "--kept"), name+".")
}

// entries parses the output of `skiff logs -o json`.
func entries(t *testing.T, output string) []map[string]string {
	t.Helper()
	var all []map[string]string
	for line := range strings.Lines(output) {
		var e map[string]string
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		all = append(all, e)
	}
	return all
}

// logStore returns the ID of the process that keeps a cluster's logs.
func (r *rig) logStore(t *testing.T, name string) (pid int) {
	t.Helper()
	eventually(t, time.Minute, "a process keeps the store", func() error {
		if pid = r.tryLogStore(t, name); pid == 0 {
			return fmt.Errorf("none of %s", name)
		}
		return nil
	})
	return pid
}

// tryLogStore is like logStore, and returns 0 if there is none.
func (r *rig) tryLogStore(t *testing.T, name string) int {
	t.Helper()
	for _, p := range processes(t, r.home) {
		if strings.Contains(p.command, "skiff logstore ") && strings.Contains(p.command+" ", " --home "+r.home+" --cluster "+name+" ") {
			return p.pid
		}
	}
	return 0
}
