package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/test/e2e/probe"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// testServices checks that the host reaches load balancers and ports, on loopback
// only.
func testServices(t *testing.T, r *rig, cluster string, k *kube) {
	k.apply(t, "host-service.yaml")
	k.rollout(t, "deployment/web")
	var first, second []string // where the services answer
	eventually(t, waitLimit, "the host answers for both services", func() error {
		first, second = r.hostAddresses(t, cluster, k.namespace, "web", 28080), r.hostAddresses(t, cluster, k.namespace, "web-local", 28080)
		if len(first) == 0 || len(second) == 0 {
			return fmt.Errorf("%v and %v", first, second)
		}
		return nil
	})
	servers := k.pods(t, "app=web")
	for _, at := range append(slices.Clone(first), second...) {
		r.answers(t, at, servers)
	}
	if first[0] == second[0] || first[0] != "127.0.0.1:28080" && second[0] != "127.0.0.1:28080" {
		t.Errorf("services of one port answer on %v and %v", first, second)
	}
	if runtime.GOOS == "linux" && (len(first) < 2 || len(second) < 2 || !strings.HasSuffix(first[1], ":28080") || !strings.HasSuffix(second[1], ":28080")) {
		t.Errorf("services do not answer on addresses of their own: %v and %v", first, second)
	}
	contains(t, "events", k.kubectl(t, "get", "events", "--field-selector", "reason=HostPort"), "port 28080 on 127.0.0.1 is used by service")
	udp := r.hostAddresses(t, cluster, k.namespace, "web", 28081)
	eventually(t, waitLimit, "an echo over UDP", func() error { return echoUDP(udp[0]) })

	port := "28082:svc/" + k.namespace + "/web:http"
	contains(t, "port add", r.skiff(t, "port", "add", "--cluster", cluster, port, "28083:pod/"+k.namespace+"/"+servers[0].name+":8080"), "127.0.0.1:28082", "127.0.0.1:28083")
	r.answers(t, "127.0.0.1:28082", servers)
	r.answers(t, "127.0.0.1:28083", servers[:1])
	if a := r.trySkiff(t, "port", "add", "--cluster", cluster, "28082:node:80"); a.code != 2 {
		t.Errorf("a port was opened twice: exit code %d, %s", a.code, a.stdout+a.stderr)
	}
	r.assertLoopbackOnly(t, cluster)
	r.skiff(t, "port", "remove", "--cluster", cluster, port, "28083:pod/"+k.namespace+"/"+servers[0].name+":8080")
	refuses(t, "127.0.0.1:28082")
	k.kubectl(t, "delete", "service", "web", "web-local")
	for _, at := range append(first, second...) {
		refuses(t, at)
	}
}

// hostAddresses returns where the host answers for a port of a service.
func (r *rig) hostAddresses(t *testing.T, cluster, namespace, name string, port int) []string {
	t.Helper()
	var all daemonapi.Services
	r.skiffJSON(t, &all, "services", cluster, "-n", namespace)
	for _, service := range all.Services {
		for _, p := range service.Ports {
			if service.Name == name && p.Port == port {
				return p.Host
			}
		}
	}
	return nil
}

// awaitHost waits until the host answers for a port of a service, and returns where.
func (r *rig) awaitHost(t *testing.T, cluster, namespace, name string, port int) (at []string) {
	t.Helper()
	eventually(t, waitLimit, "the host answers for "+name, func() error {
		if at = r.hostAddresses(t, cluster, namespace, name, port); len(at) == 0 {
			return fmt.Errorf("no addresses")
		}
		return nil
	})
	return at
}

// answers checks that exactly these servers answer at an address.
func (r *rig) answers(t *testing.T, at string, servers []pod) {
	t.Helper()
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	seen := map[string]bool{}
	eventually(t, waitLimit, at+" leads to all servers", func() error {
		response, err := client.Get("http://" + at + "/hostname")
		if err != nil {
			return err
		}
		body, err := io.ReadAll(response.Body)
		if err := response.Body.Close(); err != nil {
			return err
		}
		seen[strings.TrimSpace(string(body))] = true
		if len(seen) < len(servers) {
			return fmt.Errorf("only %v, %w", seen, err)
		}
		return err
	})
	for name := range seen {
		if !slices.ContainsFunc(servers, func(p pod) bool { return p.name == name }) {
			t.Errorf("%s leads to %q", at, name)
		}
	}
}

func echoUDP(at string) error {
	conn, err := net.Dial("udp", at)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(conn, "hello"); err != nil {
		return err
	}
	answer := make([]byte, 5)
	if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "hello" {
		return fmt.Errorf("%q, %w", answer, err)
	}
	return nil
}

// refuses waits until nothing listens at an address.
func refuses(t *testing.T, at string) {
	t.Helper()
	eventually(t, waitLimit, at+" is closed", func() error {
		conn, err := net.DialTimeout("tcp", at, 5*time.Second)
		if err != nil {
			return nil
		}
		_ = conn.Close()
		return fmt.Errorf("something listens on %s", at)
	})
}

// assertLoopbackOnly checks that the daemon listens on loopback addresses only.
func (r *rig) assertLoopbackOnly(t *testing.T, cluster string) {
	t.Helper()
	listeners, err := probe.Listeners("/proc")
	if err != nil {
		t.Fatal(err)
	}
	daemon, found := r.status(t, cluster).DaemonPID, 0
	for _, l := range listeners {
		if l.PID != daemon {
			continue
		}
		found++
		if !l.Address.Addr().IsLoopback() {
			t.Errorf("the daemon listens on %s %s", l.Network, l.Address)
		}
	}
	if found < 4 {
		t.Errorf("the daemon has %d listeners, want those of the services as well", found)
	}
}
