package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
)

// kubectlCommand returns a kubectl command that is stopped at the end of the test.
func (k *kube) kubectlCommand(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
	t.Cleanup(cancel)
	command := exec.CommandContext(ctx, k.tool("kubectl"), k.arguments(args)...)
	command.Env, command.WaitDelay = k.env, 5*time.Second
	return command
}

// readUntil reads until the text matches, and returns the last group of the match.
func readUntil(t *testing.T, from io.Reader, pattern string) string {
	t.Helper()
	expression := regexp.MustCompile(pattern)
	var text []byte
	for buffer := make([]byte, 4096); ; {
		n, err := from.Read(buffer)
		text = append(text, buffer[:n]...)
		if found := expression.FindSubmatch(text); found != nil {
			return string(found[len(found)-1])
		}
		if err != nil {
			t.Fatalf("no match for %q in %q: %v", pattern, text, err)
		}
	}
}

func testStreams(t *testing.T, k *kube) {
	k.apply(t, "streams.yaml")
	k.wait(t, "condition=Ready", "pod/ticker", "pod/web", "pod/echo")
	for _, part := range []struct {
		name string
		test func(*testing.T, *kube)
	}{
		{"LogsFollow", testLogsFollow}, {"Exec", testExec}, {"Copy", testCopy},
		{"PortForward", testPortForward}, {"Attach", testAttach},
	} {
		t.Run(part.name, func(t *testing.T) {
			k.measure(t)
			part.test(t, k)
		})
	}
}

func testLogsFollow(t *testing.T, k *kube) {
	follow := k.kubectlCommand(t, "logs", "-f", "ticker")
	out, err := follow.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := follow.Start(); err != nil {
		t.Fatal(err)
	}
	// Lines that are written after the start of the stream show that it follows.
	now := readUntil(t, out, `(?s:.*)tick (\d+)\n`) // the last line so far
	next := 0
	if _, err := fmt.Sscan(now, &next); err != nil {
		t.Fatal(err)
	}
	readUntil(t, out, fmt.Sprintf(`tick (%d)\n`, next+3))
	k.sh(t, "ticker", "touch /tmp/enough")
	rest, err := io.ReadAll(out)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasSuffix(rest, []byte("goodbye\n")) {
		t.Errorf("the stream ended with %q", rest)
	}
	if err := follow.Wait(); err != nil {
		t.Errorf("logs -f after the end of the pod: %v", err)
	}
}

func testExec(t *testing.T, k *kube) {
	shell := k.kubectlCommand(t, "exec", "-it", "web", "--", "sh")
	terminal, err := pty.StartWithSize(shell, &pty.Winsize{Rows: 33, Cols: 111})
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	send := func(line string) {
		if _, err := io.WriteString(terminal, line+"\n"); err != nil {
			t.Fatal(err)
		}
	}
	send("echo answer=$((6*7))")
	readUntil(t, terminal, `answer=(42)`)
	send("stty size; tty")
	readUntil(t, terminal, `(33 111)`)
	send("exit 3")
	_, _ = io.Copy(io.Discard, terminal) // EIO, because the other side of the terminal is closed
	var exit *exec.ExitError
	if err := shell.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("exec -it after `exit 3`: %v", err)
	}
	a := k.try(t, "exec", "web", "--", "sh", "-c", "echo out; echo err >&2; exit 4")
	equal(t, "standard output", a.stdout, "out\n")
	contains(t, "standard error", a.stderr, "err\n")
	equal(t, "exit code", a.code, 4)
}

func testCopy(t *testing.T, k *kube) {
	dir := t.TempDir()
	data := make([]byte, 300<<10)
	if _, err := rand.Read(data); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "there/below"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "there/below/file"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	k.kubectl(t, "cp", filepath.Join(dir, "there"), "web:/tmp/there")
	k.kubectl(t, "cp", "web:/tmp/there/below", filepath.Join(dir, "back"))
	back, err := os.ReadFile(filepath.Join(dir, "back/file"))
	if err != nil || !bytes.Equal(back, data) {
		t.Errorf("copied %d of %d bytes, equal: %v, %v", len(back), len(data), bytes.Equal(back, data), err)
	}
}

func testPortForward(t *testing.T, k *kube) {
	forward := k.kubectlCommand(t, "port-forward", "pod/web", ":8080")
	out, err := forward.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := forward.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = forward.Process.Kill() // Wait reports whether it had exited before
		_ = forward.Wait()
	}()
	port := readUntil(t, out, `Forwarding from 127\.0\.0\.1:(\d+) -> 8080`)
	for range 3 {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:"+port+"/hostname", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "answer", strings.TrimSpace(string(body)), "web")
	}
}

func testAttach(t *testing.T, k *kube) {
	attach := k.kubectlCommand(t, "attach", "-i", "echo")
	in, err := attach.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := attach.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := attach.Start(); err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(out)
	for _, word := range []string{"hello", "again"} {
		if _, err := io.WriteString(in, word+"\n"); err != nil {
			t.Fatal(err)
		}
		readUntil(t, reader, `(you said `+word+`)\n`)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	k.wait(t, "jsonpath={.status.phase}=Succeeded", "pod/echo")
	if err := attach.Wait(); err != nil {
		t.Errorf("attach after the end of the container: %v", err)
	}
}
