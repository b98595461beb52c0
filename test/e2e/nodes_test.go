package e2e

import (
	"fmt"
	"testing"
)

// testDrain empties a node; it needs the nodes for itself.
func testDrain(t *testing.T, k *kube) {
	if len(k.workers) < 2 {
		t.Skip("draining needs two nodes that take pods")
	}
	k.apply(t, "drain.yaml")
	k.rollout(t, "deployment/mover")
	victim := k.workers[1].name
	out := k.kubectl(t, "drain", victim, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout="+patience.String())
	contains(t, "drain", out, "evicting pod "+k.namespace+"/mover", "node/"+victim+" drained")
	contains(t, "a drained node", k.kubectl(t, "get", "node", victim), "Ready,SchedulingDisabled")
	k.rollout(t, "deployment/mover")
	for _, p := range k.pods(t, "app=mover") {
		if p.node == victim {
			t.Errorf("%s still runs on %s", p.name, victim)
		}
	}
	contains(t, "uncordon", k.kubectl(t, "uncordon", victim), "node/"+victim+" uncordoned")
	k.kubectl(t, "scale", "deployment/mover", "--replicas=6")
	eventually(t, patience, "the node takes pods again", func() error {
		for _, p := range k.pods(t, "app=mover") {
			if p.node == victim && p.ready {
				return nil
			}
		}
		return fmt.Errorf("none on %s", victim)
	})
}
