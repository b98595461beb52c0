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

// stream starts a kubectl that goes on, and ends it with the test.
func (k *kube) stream(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	command := exec.CommandContext(ctx, k.tool("kubectl"), k.arguments(args)...)
	command.Env, command.WaitDelay = k.env, 5*time.Second
	return command
}

// readUntil reads until the text matches, and returns what the pattern's group holds.
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
			t.Fatalf("%q does not come, only %q: %v", pattern, text, err)
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
	follow := k.stream(t, "logs", "-f", "ticker")
	out, err := follow.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := follow.Start(); err != nil {
		t.Fatal(err)
	}
	// Lines are written after the stream has begun, so it follows.
	now := readUntil(t, out, `(?s:.*)tick (\d+)\n`) // the last of those that came with the first
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
		t.Errorf("logs -f after the pod has ended: %v", err)
	}
}

func testExec(t *testing.T, k *kube) {
	shell := k.stream(t, "exec", "-it", "web", "--", "sh")
	terminal, err := pty.StartWithSize(shell, &pty.Winsize{Rows: 33, Cols: 111})
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	say := func(line string) {
		if _, err := io.WriteString(terminal, line+"\n"); err != nil {
			t.Fatal(err)
		}
	}
	say("echo answer=$((6*7))")
	readUntil(t, terminal, `answer=(42)`)
	say("stty size; tty")
	readUntil(t, terminal, `(33 111)`)
	say("exit 3")
	_, _ = io.Copy(io.Discard, terminal) // a terminal whose other side is gone gives EIO
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
		t.Errorf("%d of %d bytes came back, equal: %v, %v", len(back), len(data), bytes.Equal(back, data), err)
	}
}

func testPortForward(t *testing.T, k *kube) {
	forward := k.stream(t, "port-forward", "pod/web", ":8080")
	out, err := forward.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := forward.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = forward.Process.Kill() // it may have ended by itself; Wait tells
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
	attach := k.stream(t, "attach", "-i", "echo")
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
		t.Errorf("attach after the container has ended: %v", err)
	}
}
