package client_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

func TestNodeRequestsGoThroughTheDaemon(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	up(t, r.client, r.spec)
	node := r.client.Node("worker-2")
	if status, err := node.Status(t.Context()); err != nil || status.Node != "worker-2" {
		t.Errorf("status %+v, %v", status, err)
	}
	log, err := node.Logs(t.Context(), "kubelet", 5, false)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(log)
	_ = log.Close()
	if err != nil || string(content) != "kubelet of worker-2, last 5\n" {
		t.Errorf("log %q, %v", content, err)
	}
	var stdout, stderr bytes.Buffer
	code, err := node.Exec(t.Context(), nodeapi.ExecRequest{Args: []string{"echo", "hello"}}, client.Streams{
		Stdin: strings.NewReader("typed"), Stdout: &stdout, Stderr: &stderr,
	})
	if err != nil || code != 7 || stdout.String() != "echo hello" || stderr.String() != "typed" {
		t.Errorf("exec: %d, %v, %q, %q", code, err, &stdout, &stderr)
	}
	if _, err := node.Exec(t.Context(), nodeapi.ExecRequest{Args: []string{"missing"}}, client.Streams{}); err == nil || !strings.Contains(err.Error(), "no such program") {
		t.Errorf("a missing program: %v", err)
	}
	var failure *daemonapi.Failure
	if _, err := r.client.Node("worker-9").Status(t.Context()); !errors.As(err, &failure) || !strings.Contains(failure.Cause, "no node worker-9") {
		t.Errorf("a missing node: %v", err)
	}
}

func TestAFollowedLogEndsWithItsMachine(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	up(t, r.client, r.spec)
	log, err := r.client.Node("worker-2").Logs(t.Context(), "kubelet", 1, true)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	if line, err := bufio.NewReader(log).ReadString('\n'); err != nil {
		t.Fatalf("%q, %v", line, err)
	}
	r.environment.driver.End("worker-2", "signal: killed")
	if rest, err := io.ReadAll(log); err == nil {
		t.Errorf("the log of a killed machine ended without an error, after %q", rest)
	}
}
