package e2e

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// scaledFile describes a cluster of 1 to 3 workers.
const scaledFile = `name: autoscaling
workers: {min: 1, max: 3}
cpus: 1
memory: 1Gi
autoscaling: {idle: 15s}
`

// ballast is a deployment each of whose pods needs most of a node, and an image that was loaded
// before there were enough.
const ballast = `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"ballast"},"spec":{"replicas":3,
"selector":{"matchLabels":{"app":"ballast"}},"template":{"metadata":{"labels":{"app":"ballast"}},"spec":{"terminationGracePeriodSeconds":1,
"containers":[{"name":"c","image":"skiff.test/workload:1","resources":{"requests":{"cpu":"600m"}}}]}}}}`

// held is a small deployment that prefers the node worker-2, and its disruption budget.
const held = `{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"held"},"spec":{
"selector":{"matchLabels":{"app":"held"}},"template":{"metadata":{"labels":{"app":"held"}},"spec":{"terminationGracePeriodSeconds":1,
"affinity":{"nodeAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":[{"weight":100,"preference":{"matchExpressions":[
{"key":"kubernetes.io/hostname","operator":"In","values":["worker-2"]}]}}]}},
"containers":[{"name":"c","image":"registry.k8s.io/pause:3.10.2","resources":{"requests":{"cpu":"50m"}}}]}}}},
{"apiVersion":"policy/v1","kind":"PodDisruptionBudget","metadata":{"name":"held"},"spec":{"minAvailable":1,"selector":{"matchLabels":{"app":"held"}}}}]}`

// testAutoscaling creates pods that do not fit, which get nodes that go again once they are
// not needed, but for one that a disruption budget holds and one with an annotation.
func testAutoscaling(t *testing.T, r *rig) {
	const name = "autoscaling"
	t.Cleanup(func() { r.discard(t, name) })
	file := filepath.Join(filesIn(t, map[string]string{"skiff.yaml": scaledFile}), "skiff.yaml")
	r.skiff(t, "up", "-f", file)
	k := &kube{rig: r, context: "skiff-" + name, namespace: "default"}
	for _, text := range []string{"{min: 3, max: 1}", "{min: 1, max: 108}", "{min: 1}", "1..x"} {
		bad := filepath.Join(filesIn(t, map[string]string{"skiff.yaml": "name: autoscaling\nworkers: " + text + "\n"}), "skiff.yaml")
		equal(t, "exit code with workers "+text, r.trySkiff(t, "up", "-f", bad).code, 2)
	}

	r.skiff(t, "image", "load", "--cluster", name, r.image("workload.tar"))
	begun := time.Now()
	if a := k.create(t, ballast); a.code != 0 {
		t.Fatal(a.stderr)
	}
	k.rollout(t, "deployment/ballast")
	t.Logf("from pods that do not fit to all running on two more nodes: %s", time.Since(begun).Round(100*time.Millisecond))
	contains(t, "events", k.kubectl(t, "get", "events"), "TriggeredScaleUp", "pod triggered scale-up: [{worker 1->3 (max: 3)}]")
	status := r.skiff(t, "status", name)
	contains(t, "status", status, "Autoscaled  worker: 3 nodes, 1 to 3", "added worker-2, worker-3")
	contains(t, "node list", r.skiff(t, "node", "list", name), "worker-3", "worker: 3 nodes, 1 to 3")
	contains(t, "up of the same file", r.skiff(t, "up", "-f", file, "--dry-run"), "nothing to do")
	equal(t, "exit code of node add", r.trySkiff(t, "node", "add", "--cluster", name).code, 2)

	if a := k.create(t, held); a.code != 0 {
		t.Fatal(a.stderr)
	}
	k.rollout(t, "deployment/held")
	equal(t, "node of the held pod", k.pods(t, "app=held")[0].node, "worker-2")
	k.kubectl(t, "annotate", "node/worker-1", "cluster-autoscaler.kubernetes.io/scale-down-disabled=true")
	k.kubectl(t, "delete", "deployment/ballast")
	begun = time.Now()
	r.awaitScale(t, name, 2)
	t.Logf("the empty node went after %s", time.Since(begun).Round(100*time.Millisecond))
	time.Sleep(20 * time.Second) // longer than autoscaling.idle
	equal(t, "node of the held pod", k.pods(t, "app=held")[0].node, "worker-2")
	k.kubectl(t, "delete", "poddisruptionbudget/held")
	r.awaitScale(t, name, 1)
	k.rollout(t, "deployment/held")
	equal(t, "node of the moved pod", k.pods(t, "app=held")[0].node, "worker-1")
	r.running(t, name)
}

// awaitScale waits until a cluster has a number of workers and nothing is being scaled.
func (r *rig) awaitScale(t *testing.T, name string, workers int) {
	t.Helper()
	eventually(t, waitLimit, fmt.Sprintf("the cluster has %d workers", workers), func() error {
		status := r.status(t, name)
		last := daemonapi.Scaling{}
		if len(status.Scalings) > 0 {
			last = status.Scalings[len(status.Scalings)-1]
		}
		if len(status.Nodes) != workers+1 || last.Ended.IsZero() || last.Failure != "" {
			return fmt.Errorf("%d nodes, %+v", len(status.Nodes), last)
		}
		return nil
	})
}
