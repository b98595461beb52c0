package e2e

import (
	"fmt"
	"testing"
)

// testDrain drains a node. It must not run in parallel with other tests.
func testDrain(t *testing.T, k *kube) {
	if len(k.workers) < 2 {
		t.Skip("draining needs two schedulable nodes")
	}
	k.apply(t, "drain.yaml")
	k.rollout(t, "deployment/mover")
	victim := k.workers[1].name
	out := k.kubectl(t, "drain", victim, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout="+waitLimit.String())
	contains(t, "drain", out, "evicting pod "+k.namespace+"/mover", "node/"+victim+" drained")
	contains(t, "a drained node", k.kubectl(t, "get", "node", victim), "Ready,SchedulingDisabled")
	k.rollout(t, "deployment/mover")
	for _, p := range k.pods(t, "app=mover") {
		if p.node == victim {
			t.Errorf("%s is still on %s", p.name, victim)
		}
	}
	contains(t, "uncordon", k.kubectl(t, "uncordon", victim), "node/"+victim+" uncordoned")
	k.kubectl(t, "scale", "deployment/mover", "--replicas=6")
	eventually(t, waitLimit, "the node is schedulable again", func() error {
		for _, p := range k.pods(t, "app=mover") {
			if p.node == victim && p.ready {
				return nil
			}
		}
		return fmt.Errorf("no pod on %s", victim)
	})
}
