package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// testHostPorts opens and closes ports of the host's loopback while the cluster
// runs.
func testHostPorts(t *testing.T, r *rig, name string, k *kube) {
	k = k.in(t)
	k.startInside(t, "inside")
	_, open, _ := net.SplitHostPort(greeter(t, "127.0.0.1"))
	_, closed, _ := net.SplitHostPort(greeter(t, "127.0.0.1"))
	ask := func(host, port string) commandResult {
		return k.try(t, "exec", "inside", "--", "workload", "get", "-timeout", "5s", "http://"+net.JoinHostPort(host, port))
	}
	refused := func(host, port string) {
		t.Helper()
		a := ask(host, port)
		if a.code == 0 {
			t.Errorf("a pod reaches %s:%s", host, port)
		}
		contains(t, "answer of "+host+":"+port, a.stderr, "connection refused")
	}
	refused("host.skiff.internal", open)
	eventually(t, 20*time.Second, "reason in the status", func() error {
		problems := strings.Join(r.status(t, name).Problems, "\n")
		if !strings.Contains(problems, open) || !strings.Contains(problems, "hostPorts") {
			return fmt.Errorf("problems: %s", problems)
		}
		return nil
	})

	// Bad input changes nothing.
	file := filepath.Join(t.TempDir(), "skiff.yaml")
	if err := os.WriteFile(file, []byte("hostPorts: ["+open+", 8100-8000]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	a := r.trySkiff(t, "up", name, "-f", file)
	equal(t, "exit code of an invalid range", a.code, 2)
	contains(t, "message", a.stderr, "skiff.yaml:1: hostPorts: ", `"8100-8000"`, "use a port such as")
	refused("host.skiff.internal", open)

	r.skiff(t, "up", name, "--host-port", open)
	for _, host := range []string{"host.skiff.internal", "host.docker.internal"} {
		a := ask(host, open)
		equal(t, "answer of "+host, a.stdout+a.stderr, "hello from outside\n")
		refused(host, closed)
	}
	refused("192.168.104.2", open) // the gateway

	r.skiff(t, "up", name, "--host-port", "")
	refused("host.skiff.internal", open)
}
