package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// runtimePod is a pod of a runtime on the worker, with the name of the runtime.
const runtimePod = `apiVersion: v1
kind: Pod
metadata:
  name: %[1]s
  labels: {app: %[1]s}
spec:
  runtimeClassName: %[1]s
  terminationGracePeriodSeconds: 1
  containers:
    - name: workload
      image: skiff.test/workload:1
      resources: {limits: {memory: 256Mi, cpu: "1"}}
      readinessProbe:
        httpGet: {path: /readyz, port: 8080}
        periodSeconds: 1
    - name: second
      image: skiff.test/workload:1
      args: [serve, -port, "8090"]
`

// testRuntimes runs pods with the container runtimes beside runc. They are nodes' own after a
// restart of the cluster, and removed ones are gone.
func testRuntimes(t *testing.T, r *rig) {
	const name = "runtimes"
	dir := filesIn(t, map[string]string{
		"skiff.yaml": "controlPlanes: 1\nworkers: 1\nruntimes: [gvisor, crun]\n",
		"wrong.yaml": "controlPlanes: 1\nworkers: 1\nruntimes: [gvisr]\n",
		"crun.yaml":  "controlPlanes: 1\nworkers: 1\nruntimes: [crun]\n",
		"gvisor":     fmt.Sprintf(runtimePod, "gvisor"),
		"crun":       fmt.Sprintf(runtimePod, "crun"),
	})
	at := func(file string) string { return filepath.Join(dir, file) }
	t.Cleanup(func() { r.discard(t, name) })
	a := r.trySkiff(t, "up", name, "-f", at("wrong.yaml"))
	equal(t, "exit code of an unknown runtime", a.code, 2)
	contains(t, "an unknown runtime", a.stderr, `unknown runtime "gvisr": did you mean "gvisor"?`)
	equal(t, "clusters after that", r.trySkiff(t, "status", name).code != 0, true)

	r.skiff(t, "up", name, "-f", at("skiff.yaml"))
	r.load(t, name)
	k := &kube{rig: r, context: "skiff-" + name, namespace: "default"}
	equal(t, "RuntimeClasses", k.kubectl(t, "get", "runtimeclasses", "-o", "jsonpath={range .items[*]}{.metadata.name}={.handler} {end}"), "crun=crun gvisor=runsc ")
	k.kubectl(t, "apply", "-f", at("gvisor"), "-f", at("crun"))
	k.wait(t, "condition=Ready", "pod/gvisor", "pod/crun")
	k.runtimesDiffer(t)

	a = r.trySkiff(t, "up", name, "-f", at("crun.yaml"))
	equal(t, "exit code of a change while the cluster runs", a.code, 2)
	contains(t, "a change while the cluster runs", a.stderr, "runtimes cannot change while the cluster runs")
	contains(t, "a bad name for a cluster that exists", r.trySkiff(t, "up", name, "--runtime", "kata").stderr, "choose from crun, gvisor")

	r.skiff(t, "stop", name)
	r.skiff(t, "up", name)
	k.wait(t, "condition=Ready", "pod/gvisor", "pod/crun")
	k.runtimesDiffer(t)

	k.kubectl(t, "delete", "pod", "gvisor")
	r.skiff(t, "stop", name)
	r.skiff(t, "up", name, "-f", at("crun.yaml"))
	k.wait(t, "delete", "runtimeclass/gvisor")
	equal(t, "RuntimeClasses", k.kubectl(t, "get", "runtimeclasses", "-o", "name"), "runtimeclass.node.k8s.io/crun\n")
}

// runtimesDiffer checks the pods gvisor and crun: one has the kernel of gVisor, the other that
// of its node, and both use the network of the cluster.
func (k *kube) runtimesDiffer(t *testing.T) {
	t.Helper()
	for name, sandboxed := range map[string]bool{"gvisor": true, "crun": false} {
		// After a restart of the cluster, a pod has its earlier status at first.
		eventually(t, waitLimit, "both containers of "+name, func() error {
			for _, container := range []string{"workload", "second"} {
				a := k.try(t, "exec", name, "-c", container, "--", "cat", "/proc/version")
				if a.code != 0 {
					return fmt.Errorf("%s", a.stderr)
				}
				if strings.Contains(a.stdout, "gvisor") != sandboxed {
					t.Fatalf("kernel of %s: %s", name, a.stdout)
				}
			}
			return nil
		})
	}
	contains(t, "kernel's messages in gVisor", k.sh(t, "gvisor", "dmesg"), "Starting gVisor")
	ip := map[string]string{}
	for _, name := range []string{"gvisor", "crun"} {
		ip[name] = k.get(t, "pod/"+name, ".status.podIP")
	}
	for from, to := range map[string]string{"gvisor": "crun", "crun": "gvisor"} {
		out := k.kubectl(t, "exec", from, "-c", "workload", "--", "workload", "get", "http://"+ip[to]+":8080/client")
		equal(t, "address of "+from+" that "+to+" sees", strings.TrimSpace(out), ip[from])
	}
	// A service by its name, from within gVisor's network stack.
	out := k.try(t, "exec", "gvisor", "-c", "workload", "--", "workload", "get", "-ca", "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt", "https://kubernetes.default.svc/version")
	contains(t, "the API's answer", out.stdout+out.stderr, "gitVersion")
	equal(t, "the second container shares the first one's network", strings.TrimSpace(k.kubectl(t, "exec", "gvisor", "-c", "second", "--", "workload", "get", "http://127.0.0.1:8080/version")), "1")
}
