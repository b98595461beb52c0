package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestPodNetwork runs a third-party pod network in a cluster without Skiff's. Nodes are not
// Ready until it runs. Then pods reach each other on all nodes, and Skiff's service proxy and
// cluster DNS serve them.
func TestPodNetwork(t *testing.T) {
	if os.Getenv("SKIFF_E2E_CNI") == "" {
		t.Skip("the pod network takes minutes to build: run `make e2e-cni`")
	}
	r := newRig(t)
	const name = "pod-network"
	file := filepath.Join(filesIn(t, map[string]string{"skiff.yaml": "controlPlanes: 1\nworkers: 2\nnetwork: {cni: none}\n"}), "skiff.yaml")
	t.Cleanup(func() { r.discard(t, name) })
	contains(t, "what up says", r.skiff(t, "up", name, "-f", file), "network.cni", "NotReady")
	r.load(t, name)
	r.skiff(t, "image", "load", "--cluster", name, r.image("kube-router.tar"))
	k := &kube{rig: r, context: "skiff-" + name, namespace: "kube-system"}
	eventually(t, waitLimit, "nodes wait for a pod network", func() error {
		ready := k.kubectl(t, "get", "nodes", "-o", `jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}`)
		if ready != "False False False" {
			return fmt.Errorf("nodes are Ready: %s", ready)
		}
		return nil
	})
	t.Cleanup(func() {
		if t.Failed() {
			k.describe(t)
		}
	})
	k.apply(t, "podnetwork.yaml")
	k.wait(t, "condition=Ready", "nodes", "--all")
	k.rollout(t, "daemonset/kube-router")
	plain := &kube{rig: r, context: k.context}
	plain.discover(t)
	own := plain.in(t)
	testService(t, own)
	for _, p := range own.pods(t, "app=client") {
		bridge := r.skiff(t, "shell", p.node, "-c", name, "--", "ip", "-o", "link", "show", "master", "kube-bridge")
		contains(t, "the bridge of "+p.node, bridge, "veth")
	}
}
