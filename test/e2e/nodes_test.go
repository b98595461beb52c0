package e2e

import (
	"fmt"
	"strings"
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

// testNodeReturns deletes the Node object of a node whose pod uses unusual host paths
// and restarts its machine. It needs the nodes for itself.
func testNodeReturns(t *testing.T, r *rig, cluster string, k *kube) {
	k.apply(t, "hostpath.yaml")
	k.wait(t, "condition=Ready", "pod/hostpath")
	k.sh(t, "hostpath", "echo kept >/created/file && echo kept >/untyped/file")
	for field, want := range map[string]string{"Seccomp": "2", "NoNewPrivs": "0"} {
		contains(t, "confinement", k.sh(t, "hostpath", "grep "+field+": /proc/self/status"), want)
	}
	node := k.get(t, "pod/hostpath", ".spec.nodeName")
	address := k.get(t, "pod/hostpath", ".status.podIP")
	object := "node/" + node
	uid, pods := k.get(t, object, ".metadata.uid"), k.get(t, object, ".spec.podCIDR")

	k.kubectl(t, "delete", object)
	eventually(t, waitLimit, "the node is registered again", func() error {
		a := k.try(t, "get", object, "-o", `jsonpath={.metadata.uid} {.status.conditions[?(@.type=="Ready")].status}`)
		if a.code != 0 || a.stdout == uid+" True" || !strings.HasSuffix(a.stdout, " True") {
			return fmt.Errorf("%s%s", a.stdout, a.stderr)
		}
		return nil
	})
	equal(t, "range of the node's pods", k.get(t, object, ".spec.podCIDR"), pods)
	equal(t, "address of the pod", k.get(t, "pod/hostpath", ".status.podIP"), address)
	equal(t, "restarts of the pod", k.get(t, "pod/hostpath", ".status.containerStatuses[0].restartCount"), "0")
	r.skiff(t, "up", cluster)

	port := k.get(t, "service/hostpath", ".spec.ports[0].nodePort")
	eventually(t, waitLimit, "the node port answers on the node's loopback interface", func() error {
		a := r.trySkiff(t, "shell", "--cluster", cluster, node, "--", "sh", "-c",
			`printf 'GET /readyz HTTP/1.0\r\n\r\n' | nc 127.0.0.1 `+port)
		if !strings.Contains(a.stdout, "200 OK") {
			return fmt.Errorf("%s%s", a.stdout, a.stderr)
		}
		return nil
	})

	r.skiff(t, "restart", "--cluster", cluster, node)
	eventually(t, waitLimit, "the pod has its data after a restart", func() error {
		// The API server still has the status from before until the kubelet reports.
		a := k.try(t, "exec", "hostpath", "--", "cat", "/created/file", "/untyped/file")
		if a.stdout != "kept\nkept\n" {
			return fmt.Errorf("%s%s", a.stdout, a.stderr)
		}
		return nil
	})
}
