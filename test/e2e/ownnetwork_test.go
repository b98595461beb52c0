package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// testOwnNetwork creates a cluster without Skiff's pod network, NetworkPolicies, service
// proxy and DNS. Nodes are Ready once they have a configuration of the standard plugins.
func testOwnNetwork(t *testing.T, r *rig) {
	const name = "own-network"
	dir := filesIn(t, map[string]string{
		"skiff.yaml": "controlPlanes: 1\nworkers: 1\nnetwork: {cni: none, proxy: none, dns: none, mtu: 1400}\n",
		"other.yaml": "controlPlanes: 1\nworkers: 1\nnetwork: {cni: default, proxy: none, dns: none, mtu: 1500}\n",
	})
	t.Cleanup(func() { r.discard(t, name) })
	out := r.skiff(t, "up", name, "-f", filepath.Join(dir, "skiff.yaml"))
	contains(t, "what up says", out, "network.cni", "NotReady")
	k := &kube{rig: r, context: "skiff-" + name, namespace: "default"}
	nodes := []string{"control-plane-1", "worker-1"}
	eventually(t, waitLimit, "nodes wait for a pod network", func() error {
		for _, node := range nodes {
			ready := k.get(t, "node/"+node, `.status.conditions[?(@.type=="Ready")]`)
			if !strings.Contains(ready, `"status":"False"`) || !strings.Contains(ready, "cni") {
				return fmt.Errorf("condition of %s: %s", node, ready)
			}
		}
		return nil
	})
	equal(t, "plan of a cluster without a pod network", r.skiff(t, "up", name, "--dry-run"), fmt.Sprintf("cluster %q is up to date: nothing to do\n", name))
	a := r.trySkiff(t, "up", name, "-f", filepath.Join(dir, "other.yaml"))
	equal(t, "exit code of a change", a.code, 2)
	contains(t, "what cannot change", a.stderr, "network.cni cannot change from none to default", "network.mtu cannot change from 1400 to 1500")
	equal(t, "DNS service of a cluster without DNS", k.kubectl(t, "get", "services", "-n", "kube-system", "--ignore-not-found", "kube-dns"), "")

	for _, node := range nodes {
		r.skiff(t, "shell", node, "-c", name, "--", "sh", "-c", fmt.Sprintf(`cat >/etc/cni/net.d/10-own.conflist <<'EOF'
{"cniVersion": "1.0.0", "name": "own", "plugins": [{"type": "ptp", "mtu": 1400, "ipam": {"type": "host-local", "subnet": %q, "routes": [{"dst": "0.0.0.0/0"}]}}]}
EOF`, k.get(t, "node/"+node, ".spec.podCIDR")))
	}
	k.wait(t, "condition=Ready", "node/control-plane-1", "node/worker-1")
}
