package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// addonSettings begin the configuration of testAddons.
const addonSettings = "controlPlanes: 1\nworkers: 0\nmemory: 1536Mi\n"

// addonFiles are the addons of testAddons. boat.yaml comes before what it needs.
var addonFiles = map[string]string{
	"manifests/boat.yaml": "apiVersion: harbour.skiff.test/v1\nkind: Boat\nmetadata: {name: dinghy, namespace: harbour}\nspec: {oars: 2}\n",
	"manifests/more/harbour.yaml": `apiVersion: apps/v1
kind: Deployment
metadata: {name: quay, namespace: harbour}
spec:
  selector: {matchLabels: {app: quay}}
  template:
    metadata: {labels: {app: quay}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: main, image: skiff.test/workload:1}]
---
apiVersion: v1
kind: Namespace
metadata: {name: harbour}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: tides, namespace: harbour}
data: {high: "6"}
---
apiVersion: batch/v1
kind: Job
metadata: {name: dredge, namespace: harbour}
spec:
  template:
    spec:
      restartPolicy: Never
      containers: [{name: main, image: skiff.test/workload:1, command: [/workload, -h], env: [{name: DEPTH, value: "1"}]}]
  backoffLimit: 0
  suspend: true
`,
	"overlay/kustomization.yaml": "namePrefix: big-\nresources: [lamp.yaml]\n",
	"overlay/lamp.yaml":          "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: lamp}\n",
	"stuck/stuck.yaml": `apiVersion: v1
kind: ConfigMap
metadata: {name: stuck, finalizers: [skiff.test/hold]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: stuck}
spec:
  selector: {matchLabels: {app: stuck}}
  template:
    metadata: {labels: {app: stuck}}
    spec:
      nodeSelector: {nowhere: "true"}
      containers: [{name: main, image: skiff.test/workload:1}]
`,
}

// addons is the cluster of testAddons.
type addons struct {
	*kube
	cluster, dir string
}

// testAddons applies manifests, a kustomization and a chart with the cluster, changes and
// removes them, and kills `skiff up` while it applies and while it deletes.
func testAddons(t *testing.T, r *rig) {
	const name = "apps"
	a := addons{&kube{rig: r, context: "skiff-" + name, namespace: "default"}, name, t.TempDir()}
	t.Cleanup(func() { r.discard(t, name) })
	for file, content := range addonFiles {
		a.write(t, file, content)
	}
	crd, err := os.ReadFile("testdata/crd.yaml")
	if err != nil {
		t.Fatal(err)
	}
	a.write(t, "manifests/more/crd.yaml", string(crd))
	a.configure(t, "")
	a.up(t)
	r.skiff(t, "image", "load", "--cluster", name, r.image("workload.tar"))

	t.Run("Added", func(t *testing.T) { testAddonsAdded(t, a) })
	t.Run("Changed", func(t *testing.T) { testAddonsChanged(t, a) })
	t.Run("Killed", func(t *testing.T) { testAddonsKilled(t, a) })
	t.Run("Removed", func(t *testing.T) { testAddonsRemoved(t, a) })
}

func (a addons) write(t *testing.T, file, content string) {
	t.Helper()
	path := filepath.Join(a.dir, file)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// configure writes the configuration with a list of addons.
func (a addons) configure(t *testing.T, list string) {
	t.Helper()
	a.write(t, "skiff.yaml", addonSettings+"addons:\n"+list)
}

func (a addons) up(t *testing.T, args ...string) string {
	t.Helper()
	return a.skiff(t, append([]string{"up", a.cluster, "-f", filepath.Join(a.dir, "skiff.yaml")}, args...)...)
}

// states returns the states of addons by name.
func (a addons) states(t *testing.T) map[string]string {
	t.Helper()
	var all []struct{ Name, State string }
	a.skiffJSON(t, &all, "addon", "list", "-c", a.cluster)
	states := map[string]string{}
	for _, one := range all {
		states[one.Name] = one.State
	}
	return states
}

func (a addons) absent(t *testing.T, objects ...string) {
	t.Helper()
	for _, o := range objects {
		if out := a.kubectl(t, append([]string{"get", "--ignore-not-found", "-o", "name"}, strings.Fields(o)...)...); out != "" {
			t.Errorf("%s still exists", o)
		}
	}
}

func chartAddon(t *testing.T, greeting string) string {
	t.Helper()
	chart, err := filepath.Abs("testdata/chart")
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("- {chart: %s, name: site, namespace: shops, values: {greeting: %s, version: \"2\"}}\n", chart, greeting)
}

func testAddonsAdded(t *testing.T, a addons) {
	a.configure(t, "- ./manifests\n- {chart: ./manifests}\n")
	failed := a.trySkiff(t, "up", a.cluster, "-f", filepath.Join(a.dir, "skiff.yaml"))
	equal(t, "exit code of a chart without Chart.yaml", failed.code, 2)
	a.absent(t, "namespace harbour")

	a.configure(t, "- ./manifests\n- ./overlay\n"+chartAddon(t, "ahoy"))
	contains(t, "plan", a.up(t, "--dry-run"), "apply addon manifests (new)", "apply addon overlay (new)", "apply addon site (new)")
	a.absent(t, "namespace harbour")
	contains(t, "progress", a.up(t), "manifests 6 created", "overlay 1 created", "site 3 created")
	equal(t, "ready pods of the manifests", a.kubectl(t, "get", "deployment/quay", "-n", "harbour", "-o", "jsonpath={.status.readyReplicas}"), "1")
	equal(t, "greeting of the chart", a.kubectl(t, "get", "configmap/site", "-n", "shops", "-o", "jsonpath={.data.greeting}"), "ahoy")
	equal(t, "ready pods of the chart", a.kubectl(t, "get", "deployment/site", "-n", "shops", "-o", "jsonpath={.status.readyReplicas}"), "1")
	equal(t, "the kustomization", a.kubectl(t, "get", "configmap/big-lamp", "-o", "name"), "configmap/big-lamp\n")
	a.absent(t, "pods -n shops -l helm.sh/test")
	states := a.states(t)
	equal(t, "states", fmt.Sprint(states), "map[manifests:ready overlay:ready site:ready]")

	version := a.kubectl(t, "get", "--raw", "/api/v1/namespaces/kube-system/configmaps/skiff-addon-site")
	again := a.run(t, filepath.Join(a.root, "bin/skiff"), "up", a.cluster)
	t.Logf("up without a change took %s", again.took)
	if strings.Contains(again.must(t), " addons ") {
		t.Errorf("up without a change reports addons:\n%s", again.stdout)
	}
	equal(t, "inventory after no change", a.kubectl(t, "get", "--raw", "/api/v1/namespaces/kube-system/configmaps/skiff-addon-site"), version)
	contains(t, "plan of no change", a.up(t, "--dry-run"), "nothing to do")
}

func testAddonsChanged(t *testing.T, a addons) {
	a.write(t, "manifests/boat.yaml", strings.Replace(addonFiles["manifests/boat.yaml"], "oars: 2", "oars: 4", 1))
	harbour := strings.Replace(addonFiles["manifests/more/harbour.yaml"], `value: "1"`, `value: "2"`, 1)
	before, rest, _ := strings.Cut(harbour, "apiVersion: v1\nkind: ConfigMap\n")
	_, job, _ := strings.Cut(rest, "---\n")
	a.write(t, "manifests/more/harbour.yaml", before+job)
	a.configure(t, "- ./manifests\n"+chartAddon(t, "goodbye"))
	equal(t, "plan", a.up(t, "--dry-run"), "apply addon manifests (changed)\napply addon site (changed)\ndelete addon overlay (not configured any more)\n")
	contains(t, "progress", a.up(t), "manifests 2 changed", "manifests 1 deleted", "site 1 changed", "overlay 1 deleted")
	equal(t, "oars", a.kubectl(t, "get", "boat/dinghy", "-n", "harbour", "-o", "jsonpath={.spec.oars}"), "4")
	equal(t, "the Job, which was replaced", a.kubectl(t, "get", "job/dredge", "-n", "harbour", "-o", "jsonpath={.spec.template.spec.containers[0].env[0].value}"), "2")
	equal(t, "greeting", a.kubectl(t, "get", "configmap/site", "-n", "shops", "-o", "jsonpath={.data.greeting}"), "goodbye")
	a.absent(t, "configmap tides -n harbour", "configmap big-lamp", "configmap skiff-addon-overlay -n kube-system")
	equal(t, "states", fmt.Sprint(a.states(t)), "map[manifests:ready site:ready]")
}

func testAddonsKilled(t *testing.T, a addons) {
	// killed kills up once an object has a field.
	killed := func(list, object, field string) {
		t.Helper()
		a.configure(t, list)
		up := a.background(t, "up", a.cluster, "-f", filepath.Join(a.dir, "skiff.yaml"))
		eventually(t, waitLimit, field+" of "+object+" is set", func() error {
			if value := a.kubectl(t, "get", object, "--ignore-not-found", "-o", "jsonpath={"+field+"}"); value == "" {
				return fmt.Errorf("it is empty")
			}
			return nil
		})
		kill(t, up.Process.Pid)
		_ = up.Wait()
	}
	kept := "- ./manifests\n" + chartAddon(t, "goodbye")
	killed(kept+"- ./stuck\n", "deployment/stuck", ".status.unavailableReplicas")
	equal(t, "state after up was killed", a.states(t)["stuck"], "incomplete")
	killed(kept, "configmap/stuck", ".metadata.deletionTimestamp")
	equal(t, "state after a deletion was killed", a.states(t)["stuck"], "incomplete")
	a.kubectl(t, "patch", "configmap/stuck", "--type=merge", "-p", `{"metadata":{"finalizers":null}}`)
	a.up(t)
	a.absent(t, "configmap stuck", "deployment stuck", "configmap skiff-addon-stuck -n kube-system")
	equal(t, "states", fmt.Sprint(a.states(t)), "map[manifests:ready site:ready]")
}

func testAddonsRemoved(t *testing.T, a addons) {
	a.configure(t, "")
	contains(t, "plan", a.up(t, "--dry-run"), "delete addon manifests", "delete addon site")
	a.up(t)
	a.absent(t, "crd boats.harbour.skiff.test", "namespace harbour", "deployment site -n shops", "configmaps -n kube-system -l skiff.dev/addon")
	equal(t, "the namespace of the chart", a.kubectl(t, "get", "namespace/shops", "-o", "name"), "namespace/shops\n")
}
