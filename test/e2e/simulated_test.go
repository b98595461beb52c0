package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// testSimulated adds simulated nodes to a running cluster, runs pods on them, and removes
// them again.
func testSimulated(t *testing.T, r *rig, cluster string, k *kube) {
	a := r.trySkiff(t, "up", cluster, "--simulated", "5001")
	equal(t, "exit code", a.code, 2)
	contains(t, "why it is refused", a.stderr, "simulated is 5001: it must be between 0 and 5000")
	equal(t, "plan", r.skiff(t, "up", cluster, "--simulated", "20", "--dry-run"), "serve (nodes change)\nsimulate (0 → 20 simulated nodes)\n")

	r.skiff(t, "up", cluster, "--simulated", "20")
	contains(t, "status", r.skiff(t, "status", cluster), "20 simulated nodes\n")
	contains(t, "list", r.skiff(t, "node", "list", cluster), "20 simulated nodes\n")
	k.apply(t, "simulated.yaml")
	k.rollout(t, "deployment/many")
	if nodes := k.kubectl(t, "get", "pods", "-o", "jsonpath={.items[*].spec.nodeName}"); strings.Count(nodes, "simulated-00") != 50 {
		t.Errorf("nodes of the pods: %s", nodes)
	}
	// Those with machines need the ranges of pod addresses.
	equal(t, "pod ranges of simulated nodes", k.kubectl(t, "get", "nodes", "--selector", "type=kwok", "-o", "jsonpath={.items[*].spec.podCIDR}"), "")
	equal(t, "nodes without a machine that the cloud knows", k.kubectl(t, "get", "nodes", "--selector", "type=kwok", "-o", "jsonpath={.items[*].spec.providerID}"), "")

	r.skiff(t, "up", cluster, "--simulated", "0")
	equal(t, "simulated nodes", k.kubectl(t, "get", "nodes", "--selector", "type=kwok", "-o", "name"), "")
	eventually(t, waitLimit, "no pod is on a simulated node", func() error {
		if nodes := strings.TrimSpace(k.kubectl(t, "get", "pods", "-o", "jsonpath={.items[*].spec.nodeName}")); nodes != "" {
			return fmt.Errorf("nodes %s", nodes)
		}
		return nil
	})
	equal(t, "plan afterwards", r.skiff(t, "up", cluster, "--dry-run"), fmt.Sprintf("cluster %q is up to date: nothing to do\n", cluster))
}
