package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// hub is a cluster with kubectl in a pod, which uses another cluster.
type hub struct {
	*kube
	name, spoke string
}

// in runs kubectl in the hub's pod, on the other cluster.
func (h *hub) in(t *testing.T, args ...string) commandResult {
	t.Helper()
	return h.try(t, append([]string{"exec", "inside", "--", "/tools/kubectl", "--cache-dir=/tmp/cache", "--kubeconfig=/spoke/config", "--request-timeout=10s"}, args...)...)
}

// must is like in for commands that must succeed.
func (h *hub) must(t *testing.T, args ...string) string {
	t.Helper()
	return h.in(t, args...).must(t, append([]string{"in the hub: kubectl"}, args...)...)
}

// testPeers lets a controller in one cluster read, write and watch another one, and
// use its load balancers, while that one allows it.
func testPeers(t *testing.T, r *rig, name string, k *kube) {
	h := startHub(t, r, name)
	denied := func(why string) {
		t.Helper()
		if a := h.in(t, "get", "nodes"); a.code == 0 || !strings.Contains(a.stderr, "no such host") {
			t.Errorf("%s: exit code %d: %s%s", why, a.code, a.stdout, a.stderr)
		}
	}
	denied("no cluster is open to others")
	a := r.trySkiff(t, "up", name, "--peer", "Hub!")
	equal(t, "exit code of an invalid peer", a.code, 2)
	contains(t, "message", a.stderr, `invalid entry "Hub!" of peers`)

	r.skiff(t, "up", name, "--peer", h.name, "--kubeconfig", "none")
	eventually(t, waitLimit, "the hub reaches the spoke", func() error {
		if a := h.in(t, "get", "nodes"); a.code != 0 {
			return fmt.Errorf("%s", a.stderr)
		}
		return nil
	})
	contains(t, "nodes of the spoke", h.must(t, "get", "nodes", "-o", "name"), "node/worker-2")
	h.must(t, "create", "configmap", "from-hub", "--namespace", k.namespace, "--from-literal", "a=b")
	equal(t, "what the hub wrote", k.get(t, "configmap/from-hub", ".data.a"), "b")
	watched := make(chan commandResult, 1)
	go func() {
		watched <- h.in(t, "wait", "--namespace", k.namespace, "--for=jsonpath={.data.a}=c", "--timeout=60s", "configmap/from-hub", "--request-timeout=0")
	}()
	k.kubectl(t, "patch", "configmap", "from-hub", "--patch", `{"data": {"a": "c"}}`)
	equal(t, "exit code of the watch", (<-watched).code, 0)
	// Also from nodes.
	out := r.skiff(t, "shell", "--cluster", h.name, "control-plane-1", "--", "sh", "-c",
		fmt.Sprintf("nc -w 5 api.%s.skiff.internal 6443 </dev/null && echo connected", name))
	contains(t, "connection from a node", out, "connected")

	testPeerServices(t, r, h, k)
	if a := r.trySkiff(t, "shell", "--cluster", name, "worker-1", "--", "nc", "-w", "5", "api."+h.name+".skiff.internal", "6443"); a.code == 0 {
		t.Error("the spoke reaches the hub, which did not allow it")
	}
	r.skiff(t, "up", name, "--peer", "", "--kubeconfig", "none")
	eventually(t, waitLimit, "the spoke is closed again", func() error {
		if a := h.in(t, "get", "nodes"); a.code == 0 {
			return fmt.Errorf("%s", a.stdout)
		}
		return nil
	})
}

// startHub starts a cluster of one node with a pod that has kubectl and a kubeconfig of
// the other cluster.
func startHub(t *testing.T, r *rig, spoke string) *hub {
	t.Helper()
	const name = "hub"
	t.Cleanup(func() { r.discard(t, name) })
	r.skiff(t, "up", name, "--workers", "0", "--mount", r.tools(t)+":/tools")
	r.load(t, name)
	k := &kube{rig: r, context: "skiff-" + name}
	k.discover(t)
	h := &hub{kube: k.in(t), name: name, spoke: spoke}
	config := filepath.Join(t.TempDir(), "config")
	content := r.skiff(t, "kubeconfig", spoke, "--internal")
	contains(t, "internal kubeconfig", content, "server: https://api."+spoke+".skiff.internal:6443\n")
	if err := os.WriteFile(config, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	h.kubectl(t, "create", "secret", "generic", "spoke", "--from-file", config)
	h.create(t, `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "inside"}, "spec": {
		"terminationGracePeriodSeconds": 1,
		"containers": [{"name": "main", "image": "skiff.test/workload:1", "volumeMounts": [
			{"name": "tools", "mountPath": "/tools"}, {"name": "spoke", "mountPath": "/spoke"}]}],
		"volumes": [{"name": "tools", "hostPath": {"path": "/tools"}}, {"name": "spoke", "secret": {"secretName": "spoke"}}]}}`)
	h.wait(t, "condition=Ready", "pod/inside")
	return h
}

// tools returns a folder with a copy of kubectl. Pods may change the folder, because not
// every virtiofsd can share one read-only.
func (r *rig) tools(t *testing.T) string {
	t.Helper()
	kubectl, err := os.ReadFile(r.tool("kubectl"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "kubectl"), kubectl, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// testPeerServices checks that of the spoke's services the hub reaches load balancers,
// and nothing else.
func testPeerServices(t *testing.T, r *rig, h *hub, k *kube) {
	k.startInside(t, "web")
	k.wait(t, "condition=Ready", "pod/web")
	k.kubectl(t, "expose", "pod", "web", "--name", "web", "--type", "LoadBalancer", "--port", "8000", "--target-port", "8080")
	k.kubectl(t, "expose", "pod", "web", "--name", "private", "--port", "8000", "--target-port", "8080")
	k.balancer(t, "web")
	at := func(service string) string { return service + "." + k.namespace + "." + h.spoke + ".skiff.internal" }
	get := func(host, port string) commandResult {
		return h.try(t, "exec", "inside", "--", "workload", "get", "-timeout", "5s", "http://"+host+":"+port)
	}
	eventually(t, waitLimit, "the hub reaches the load balancer", func() error {
		if a := get(at("web"), "8000"); a.code != 0 {
			return fmt.Errorf("%s%s", a.stdout, a.stderr)
		}
		return nil
	})
	contains(t, "another port", get(at("web"), "8080").stderr, "connection refused")
	contains(t, "another port of the API", get("api."+h.spoke+".skiff.internal", "10250").stderr, "connection refused")
	contains(t, "a service without load balancer", get(at("private"), "8000").stderr, "no such host")
}
