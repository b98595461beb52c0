package e2e

import (
	"fmt"
	"path/filepath"
	"testing"
)

// groupFiles are the configurations of testNodeGroups.
var groupFiles = map[string]string{
	"before.yaml": "controlPlanes: 1\nworkers: 0\nmemory: 1Gi\n",
	"groups.yaml": `controlPlanes: 1
workers: 0
memory: 1Gi
nodes:
- name: gpu
  count: 2
  cpus: 1
  memory: 700Mi
  labels: {accelerator: gpu, node-role.kubernetes.io/gpu: ""}
  taints: ["accelerator=gpu:NoSchedule"]
  kubelet: {maxPods: 42}
`,
	"larger.yaml": `controlPlanes: 1
workers: 0
memory: 1Gi
nodes:
- name: gpu
  count: 2
  cpus: 1
  memory: 800Mi
  disk: 30Gi
  labels: {accelerator: "no"}
  kubelet: {maxPods: 42}
`,
	"budget.yaml": `apiVersion: apps/v1
kind: Deployment
metadata: {name: guarded}
spec:
  selector: {matchLabels: {app: guarded}}
  template:
    metadata: {labels: {app: guarded}}
    spec:
      nodeSelector: {accelerator: "no"}
      terminationGracePeriodSeconds: 0
      containers: [{name: main, image: skiff.test/workload:1}]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: guarded}
spec:
  minAvailable: 1
  selector: {matchLabels: {app: guarded}}
`,
}

// testNodeGroups adds a group of nodes to a running cluster, changes it, and removes and
// replaces single nodes.
func testNodeGroups(t *testing.T, r *rig) {
	const name = "groups"
	dir := filesIn(t, groupFiles)
	file := func(name string) string { return filepath.Join(dir, name) }
	t.Cleanup(func() { r.discard(t, name) })
	r.skiff(t, "up", name, "-f", file("before.yaml"))
	k := &kube{rig: r, context: "skiff-" + name, namespace: "default"}
	node := func(name, path string) string { return k.get(t, "node/"+name, path) }
	settled := func(file string) {
		t.Helper()
		r.skiff(t, "up", name, "-f", file)
		equal(t, "plan afterwards", r.skiff(t, "up", name, "-f", file, "--dry-run"), fmt.Sprintf("cluster %q is up to date: nothing to do\n", name))
	}
	const taints = ".spec.taints[*].key"
	equal(t, "taints of the only node", node("control-plane-1", taints), "")

	settled(file("groups.yaml"))
	equal(t, "labels", node("gpu-2", `.metadata.labels['accelerator', 'skiff\.dev/role']`), "gpu worker")
	contains(t, "roles", k.kubectl(t, "get", "node", "gpu-1"), "gpu")
	equal(t, "taints", node("gpu-1", taints), "accelerator")
	equal(t, "capacity", node("gpu-1", ".status.capacity.pods"), "42")
	equal(t, "taints of the control plane", node("control-plane-1", taints), "node-role.kubernetes.io/control-plane")
	contains(t, "list", r.skiff(t, "node", "list", name), "gpu-2", "700Mi")

	k.kubectl(t, "label", "node", "gpu-1", "mine=1")
	contains(t, "plan", r.skiff(t, "up", name, "-f", file("larger.yaml"), "--dry-run"), "label gpu-1", "grow gpu-2", "restart gpu-1", "uncordon gpu-2")
	settled(file("larger.yaml"))
	equal(t, "labels", node("gpu-1", `.metadata.labels['accelerator', 'mine']`), "no 1")
	equal(t, "taints", node("gpu-1", taints), "")
	contains(t, "list", r.skiff(t, "node", "list", name), "800Mi", "30720Mi")

	// The budget allows no eviction of its only pod.
	r.skiff(t, "image", "load", "--cluster", name, r.image("workload.tar"))
	k.kubectl(t, "apply", "-f", file("budget.yaml"))
	k.rollout(t, "deployment/guarded")
	guarded := k.pods(t, "app=guarded")[0].node
	blocked := r.trySkiff(t, "node", "remove", "--cluster", name, guarded, "--drain-timeout", "3s")
	contains(t, "why the node stays", blocked.stderr, "protected by the disruption budget default/guarded", "--force")
	out := r.skiff(t, "node", "remove", "--cluster", name, guarded, "--drain-timeout", "3s", "--force")
	contains(t, "result", out, "removed "+guarded, "count of the group gpu: 1")
	equal(t, "Node object of the removed node", k.kubectl(t, "get", "node", guarded, "--ignore-not-found", "-o", "name"), "")

	left := map[string]string{"gpu-1": "gpu-2", "gpu-2": "gpu-1"}[guarded]
	uid := node(left, ".metadata.uid")
	k.kubectl(t, "delete", "pdb/guarded")
	r.skiff(t, "shell", "--cluster", name, left, "--", "touch", "/var/lib/skiff/mark")
	r.skiff(t, "node", "replace", "--cluster", name, left)
	if again := node(left, ".metadata.uid"); again == uid {
		t.Errorf("%s has the same Node object", left)
	}
	r.skiff(t, "shell", "--cluster", name, left, "--", "sh", "-c", "! test -e /var/lib/skiff/mark") // fails if the old data is there
	// The new machine has the image that was loaded before.
	k.rollout(t, "deployment/guarded")

	settled(file("before.yaml"))
	equal(t, "taints of the only node", node("control-plane-1", taints), "")
	equal(t, "nodes", k.kubectl(t, "get", "nodes", "-o", "name"), "node/control-plane-1\n")
}
