package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// settingsFiles are the configurations of testSettings and the files that they name.
var settingsFiles = map[string]string{
	"skiff.yaml": `controlPlanes: 1
workers: 1
kubernetes:
  featureGates: {ClusterTrustBundle: true, ContextualLogging: false}
  runtimeConfig: {certificates.k8s.io/v1beta1: true}
  apiServer:
    args: {event-ttl: 2h}
    admissionPlugins: {enable: [AlwaysPullImages]}
    auditPolicy: audit.yaml
  controllerManager: {args: {terminated-pod-gc-threshold: 100}}
  scheduler: {config: scheduler.yaml}
  kubelet: {maxPods: 42}
  proxy: {nftables: {minSyncPeriod: 200ms}}
`,
	"broken.yaml":  "controlPlanes: 1\nworkers: 1\nkubernetes: {scheduler: {config: broken-scheduler.yaml}}\n",
	"kubelet.yaml": "controlPlanes: 1\nworkers: 1\nkubernetes: {kubelet: {imageGCHighThresholdPercent: 10, imageGCLowThresholdPercent: 20}}\n",
	"audit.yaml": `apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- level: Request
  namespaces: [audited]
- level: None
`,
	"scheduler.yaml": `apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles:
- schedulerName: default-scheduler
- schedulerName: packed
  pluginConfig:
  - name: NodeResourcesFit
    args: {scoringStrategy: {type: MostAllocated, resources: [{name: cpu, weight: 1}]}}
`,
	"broken-scheduler.yaml": `apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles: [{schedulerName: default-scheduler, plugins: {score: {enabled: [{name: NoSuchPlugin}]}}}]
`,
}

// testSettings changes the settings of Kubernetes' components in a running cluster, and
// checks that invalid ones change nothing.
func testSettings(t *testing.T, r *rig) {
	const name = "settings"
	dir := filesIn(t, settingsFiles)
	t.Cleanup(func() { r.discard(t, name) })
	r.skiff(t, "up", name, "--workers", "1", "--control-planes", "1")
	k := &kube{rig: r, context: "skiff-" + name, namespace: "default"}

	file := filepath.Join(dir, "skiff.yaml")
	equal(t, "plan", r.skiff(t, "up", name, "-f", file, "--dry-run"), "configure (the settings of Kubernetes changed)\n")
	r.skiff(t, "up", name, "-f", file)
	equal(t, "plan afterwards", r.skiff(t, "up", name, "--dry-run"), fmt.Sprintf("cluster %q is up to date: nothing to do\n", name))
	assertSettings(t, r, name, k)

	for file, want := range map[string]string{"broken.yaml": "NoSuchPlugin", "kubelet.yaml": "imageGCLowThresholdPercent"} {
		a := r.trySkiff(t, "up", name, "-f", filepath.Join(dir, file))
		equal(t, "exit code", a.code, 2)
		contains(t, "why the settings are refused", a.stderr, want, "nothing was changed")
	}
	equal(t, "plan after refused settings", r.skiff(t, "up", name, "--dry-run"), fmt.Sprintf("cluster %q is up to date: nothing to do\n", name))
	assertSettings(t, r, name, k)
	testIdentity(t, r, name)
}

// assertSettings checks that the settings of skiff.yaml are in force.
func assertSettings(t *testing.T, r *rig, name string, k *kube) {
	t.Helper()
	contains(t, "APIs", k.kubectl(t, "api-versions"), "certificates.k8s.io/v1beta1")
	contains(t, "explanation of an API that is off by default", k.kubectl(t, "explain", "clustertrustbundles"), "ClusterTrustBundle")
	equal(t, "pods of a node", k.get(t, "node/worker-1", ".status.allocatable.pods"), "42")

	k.kubectl(t, "create", "namespace", "audited")
	audited := *k
	audited.namespace = "audited"
	audited.wait(t, "create", "serviceaccount/default")
	audited.kubectl(t, "create", "configmap", "seen", "--from-literal", "word=unmistakable")
	k.kubectl(t, "create", "configmap", "unseen", "--from-literal", "word=overlooked")
	eventually(t, time.Minute, "audit log", func() error {
		log := r.skiff(t, "shell", "control-plane-1", "-c", name, "--", "cat", "/var/log/skiff/audit.log")
		if !strings.Contains(log, "unmistakable") || strings.Contains(log, "overlooked") {
			return fmt.Errorf("it has %d bytes", len(log))
		}
		return nil
	})
	k.kubectl(t, "delete", "configmap", "unseen")

	audited.kubectl(t, "run", "packed", "--image", "registry.k8s.io/pause:3.10", "--image-pull-policy", "Never",
		"--overrides", `{"spec":{"schedulerName":"packed"}}`)
	eventually(t, time.Minute, "pod of the other scheduler profile", func() error {
		pod := audited.kubectl(t, "get", "pod", "packed", "-o", "jsonpath={.spec.nodeName} {.spec.containers[0].imagePullPolicy}")
		if pod != "worker-1 Always" { // the admission plugin changes the policy
			return fmt.Errorf("pod: %q", pod)
		}
		return nil
	})
	k.kubectl(t, "delete", "namespace", "audited", "--wait")
}
