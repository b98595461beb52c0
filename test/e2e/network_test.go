package e2e

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// onEveryNode returns the pods that a selector matches. Every worker must have one.
func (k *kube) onEveryNode(t *testing.T, selector string) []pod {
	t.Helper()
	pods := k.pods(t, selector)
	seen := map[string]bool{}
	for _, p := range pods {
		seen[p.node] = true
	}
	if len(seen) != len(k.workers) {
		t.Fatalf("pods %s are on %d of %d workers: %+v", selector, len(seen), len(k.workers), pods)
	}
	return pods
}

func testService(t *testing.T, k *kube) {
	k.apply(t, "service.yaml")
	k.rollout(t, "deployment/web")
	k.rollout(t, "daemonset/client")
	servers, clients := k.pods(t, "app=web"), k.onEveryNode(t, "app=client")
	if len(servers) != 2 {
		t.Fatalf("got %d servers, want 2", len(servers))
	}
	if len(k.workers) > 1 && servers[0].node == servers[1].node {
		t.Errorf("both servers are on %s", servers[0].node)
	}
	port := k.get(t, "service/web-outside", ".spec.ports[0].nodePort")
	full := "web." + k.namespace + ".svc.cluster.local"
	for _, client := range clients {
		// Both servers respond, on this and on the other node, by short and full name.
		k.waitForAnswers(t, client.name, "http://web/hostname", servers[0].name, servers[1].name)
		k.waitForAnswers(t, client.name, "http://"+full+"/hostname", servers[0].name, servers[1].name)
		for _, network := range []string{"tcp", "udp"} {
			out := k.kubectl(t, "exec", client.name, "--", "workload", "dial", network, "web:81")
			equal(t, "echo over "+network, out, "ping over "+network+"\n")
		}
		for _, n := range k.nodes {
			k.waitForAnswers(t, client.name, "http://"+net.JoinHostPort(n.address, port)+"/hostname",
				servers[0].name, servers[1].name)
		}
		// Addresses are not translated between pods, on the same or another node.
		for _, server := range servers {
			out := k.kubectl(t, "exec", client.name, "--", "workload", "get", "http://"+server.ip+":8080/client")
			equal(t, "address that "+server.name+" on "+server.node+" sees", strings.TrimSpace(out), client.ip)
		}
	}
	// The dot at the end prevents queries with search domains.
	absent := "http://no-such-service." + k.namespace + ".svc.cluster.local.:80/"
	a := k.try(t, "exec", clients[0].name, "--", "workload", "get", absent)
	if a.code == 0 || !strings.Contains(a.stderr, "no such host") {
		t.Errorf("a name that does not exist: exit code %d, %s", a.code, a.stderr)
	}
}

// testAPIFromPod checks that a pod can use the API server with its token, within
// the limits of RBAC.
func testAPIFromPod(t *testing.T, k *kube) {
	k.kubectl(t, "run", "inside", "--image=skiff.test/workload:1", "--restart=Never", "--overrides",
		`{"spec":{"terminationGracePeriodSeconds":1}}`)
	k.wait(t, "condition=Ready", "pod/inside")
	const account = "/var/run/secrets/kubernetes.io/serviceaccount/"
	ask := func(path string) commandResult {
		return k.try(t, "exec", "inside", "--", "workload", "get",
			"-ca", account+"ca.crt", "-token", account+"token", "https://kubernetes.default.svc"+path)
	}
	version := `"gitVersion": "` + k.release(t) + `"`
	eventually(t, waitLimit, "version", func() error {
		if a := ask("/version"); !strings.Contains(a.stdout, version) {
			return fmt.Errorf("%s%s", a.stdout, a.stderr)
		}
		return nil
	})
	secrets := "/api/v1/namespaces/" + k.namespace + "/secrets"
	a := ask(secrets)
	contains(t, "secrets without a role", a.stderr, "403 Forbidden", "system:serviceaccount:"+k.namespace+":default")
	k.kubectl(t, "create", "role", "reader", "--verb=list", "--resource=secrets")
	k.kubectl(t, "create", "rolebinding", "reader", "--role=reader", "--serviceaccount="+k.namespace+":default")
	eventually(t, waitLimit, "secrets with a role", func() error {
		if a := ask(secrets); a.code != 0 {
			return fmt.Errorf("%s", a.stderr)
		}
		return nil
	})
}

// needPolicies skips the test if the nodes report that the kernel of this host does
// not support network policies.
func (k *kube) needPolicies(t *testing.T) {
	t.Helper()
	if !k.rig.sandboxed {
		return
	}
	cluster := strings.TrimPrefix(k.context, "skiff-")
	a := k.rig.trySkiff(t, "shell", k.workers[0].name, "--cluster", cluster, "--", "sh", "-c", "! grep NetworkPolicies /run/skiff/alarms/nodeagent")
	if a.code != 0 {
		t.Skipf("the kernel of this host does not support network policies: %s", a.stdout)
	}
}

func testNetworkPolicy(t *testing.T, k *kube) {
	k.needPolicies(t)
	k.apply(t, "policy-pods.yaml")
	k.wait(t, "condition=Ready", "pod/server")
	k.rollout(t, "daemonset/friend")
	k.rollout(t, "daemonset/stranger")
	friends, strangers := k.onEveryNode(t, "app=friend"), k.onEveryNode(t, "app=stranger")
	reach := func(from pod, url string) error {
		a := k.try(t, "exec", from.name, "--", "workload", "get", "-timeout", "3s", url)
		if a.code != 0 {
			return fmt.Errorf("%s on %s cannot reach %s: %s", from.name, from.node, url, a.stderr)
		}
		return nil
	}
	blocked := func(from pod, url string) error {
		if reach(from, url) == nil {
			return fmt.Errorf("%s on %s reaches %s", from.name, from.node, url)
		}
		return nil
	}
	expect := func(check func(pod, string) error, from []pod, url string) {
		t.Helper()
		for _, p := range from {
			eventually(t, waitLimit, "network policy", func() error { return check(p, url) })
		}
	}
	expect(reach, append(friends, strangers...), "http://server:8080/hostname")

	k.apply(t, "policy.yaml")
	expect(blocked, strangers, "http://server:8080/hostname")
	expect(reach, friends, "http://server:8080/hostname")
	// The policy only allows one port.
	if a := k.try(t, "exec", friends[0].name, "--", "workload", "dial", "tcp", "server:8081"); a.code == 0 {
		t.Error("a port that the policy does not allow is open")
	}

	k.apply(t, "policy-egress.yaml")
	server := k.get(t, "pod/server", ".status.podIP")
	expect(blocked, friends, "http://"+server+":8080/hostname")

	k.kubectl(t, "delete", "networkpolicy", "--all")
	expect(reach, append(friends, strangers...), "http://server:8080/hostname")
}

// testEgress checks that pods reach what the host reaches, but not the loopback of
// the host.
func testEgress(t *testing.T, k *kube) {
	k.kubectl(t, "run", "inside", "--image=skiff.test/workload:1", "--restart=Never", "--overrides",
		`{"spec":{"terminationGracePeriodSeconds":1}}`)
	k.wait(t, "condition=Ready", "pod/inside")
	ask := func(url string) commandResult {
		return k.try(t, "exec", "inside", "--", "workload", "get", "-timeout", "5s", url)
	}
	loopback := greeter(t, "127.0.0.1")
	_, port, _ := net.SplitHostPort(loopback)
	gateway := strings.TrimSpace(k.sh(t, "inside", "sed -n 's/^nameserver //p' /etc/resolv.conf"))
	for _, address := range []string{"192.168.104.2", gateway} {
		if a := ask("http://" + net.JoinHostPort(address, port)); a.code == 0 {
			t.Errorf("a pod reaches the host's loopback through %s", address)
		}
	}
	host := hostAddress(t)
	if host == "" {
		t.Log("this host only has loopback addresses: egress is not tested")
		return
	}
	a := ask("http://" + greeter(t, host))
	equal(t, "answer from outside", a.stdout+a.stderr, "hello from outside\n")
}

// greeter serves HTTP on an address of the host until the test ends.
func greeter(t *testing.T, address string) string {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Server{
		ReadHeaderTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintln(w, "hello from outside")
		}),
	}
	go func() { _ = web.Serve(listener) }() // returns after Close
	t.Cleanup(func() { _ = web.Close() })
	return listener.Addr().String()
}

// hostAddress returns an IPv4 address of the host other than loopback.
func hostAddress(t *testing.T) string {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range addresses {
		if n, ok := address.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return n.IP.String()
		}
	}
	return ""
}
