package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/template"
)

// withTemplates runs bin/skiff with templates turned on.
func (r *rig) withTemplates(t *testing.T, args ...string) commandResult {
	t.Helper()
	a := r.run(t, "env", append([]string{"SKIFF_TEMPLATES=16Gi", filepath.Join(r.root, "bin/skiff")}, args...)...)
	t.Logf("skiff %s: exit code %d in %.1f s\n%s%s", strings.Join(args, " "), a.code, a.took.Seconds(), a.stdout, a.stderr)
	return a
}

// templates returns the keys of all templates.
func (r *rig) templates(t *testing.T) []string {
	t.Helper()
	var all []struct{ Key string }
	if err := json.Unmarshal([]byte(r.withTemplates(t, "template", "list", "-o", "json").must(t)), &all); err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, one := range all {
		keys = append(keys, one.Key)
	}
	return keys
}

// makeTemplate makes the template of clusters with the flags.
func (r *rig) makeTemplate(t *testing.T, flags ...string) (key string) {
	t.Helper()
	r.withTemplates(t, append([]string{"template", "create"}, flags...)...).must(t, "template create")
	keys := r.templates(t)
	if len(keys) != 1 {
		t.Fatalf("templates %q", keys)
	}
	t.Cleanup(func() {
		for _, key := range r.templates(t) {
			r.withTemplates(t, "template", "rm", key)
		}
	})
	return keys[0]
}

// fromTemplate creates a cluster, which continues with the template.
func (r *rig) fromTemplate(t *testing.T, key, name string, flags ...string) *kube {
	t.Helper()
	t.Cleanup(func() { r.discard(t, name) })
	a := r.withTemplates(t, append([]string{"up", name}, flags...)...)
	if a.code != 0 || strings.Contains(a.stdout+a.stderr, "not used") {
		r.dump(t, name)
		t.FailNow()
	}
	r.add(t, "up from a template", a.took, "passed")
	status := r.running(t, name)
	equal(t, "origin", status.Origin, "template "+key)
	for _, n := range status.Nodes {
		equal(t, n.Name+" is Ready", n.Ready, "True")
		r.assertClock(t, name, n.Name)
	}
	return (&kube{rig: r, context: "skiff-" + name}).in(t)
}

// testTemplate makes a template, and a cluster that continues with it. Pods run there, find
// services by name and use the API.
func testTemplate(t *testing.T, r *rig) {
	const name = "continued"
	flags := []string{"--control-planes", "1", "--workers", "1"}
	key := r.makeTemplate(t, flags...)
	equal(t, "clusters", strings.Contains(r.skiff(t, "list"), "template"), false)
	contains(t, "a second time", r.withTemplates(t, append([]string{"template", "create"}, flags...)...).stdout, key+" exists already")
	contains(t, "dry run", r.withTemplates(t, append([]string{"up", name, "--dry-run"}, flags...)...).stdout, "clone (from template "+key+")", "resume control-plane-1 (saved)", "resume worker-1 (saved)")
	for _, other := range [][]string{append(flags, "--cold"), {"--workers", "2"}} {
		contains(t, "dry run of another cluster", r.withTemplates(t, append([]string{"up", name, "--dry-run"}, other...)...).stdout, "create control-plane-1")
	}
	k := r.fromTemplate(t, key, name, flags...)
	r.load(t, name)
	k.kubectl(t, "run", "keeper", "--image=skiff.test/workload:1", "--restart=Always", "--command", "--", "sh", "-c", "while :; do sleep 1; done")
	k.wait(t, "condition=Ready", "pod/keeper")
	k.asksAPI(t)
	equal(t, "provider ID", k.get(t, "node/worker-1", ".spec.providerID"), "skiff://template/worker-1")
}

// testTemplateParts makes two clusters from one template, which share nothing once both have
// replaced their credentials. Then it damages the template.
func testTemplateParts(t *testing.T, r *rig) {
	flags := []string{"--control-planes", "1", "--workers", "1"}
	key := r.makeTemplate(t, flags...)
	var kubes []*kube
	names := []string{"alpha", "beta"}
	for _, name := range names {
		k := r.fromTemplate(t, key, name, flags...)
		r.load(t, name)
		k.kubectl(t, "run", "keeper", "--image=skiff.test/workload:1", "--restart=Always", "--command", "--", "sh", "-c", "while :; do sleep 1; done")
		k.wait(t, "condition=Ready", "pod/keeper")
		r.beforeClone(t, k)
		kubes = append(kubes, k)
	}
	equal(t, "boots", kubes[0].get(t, "node/worker-1", ".status.nodeInfo.bootID"), kubes[1].get(t, "node/worker-1", ".status.nodeInfo.bootID"))
	began := time.Now()
	for i, name := range names {
		eventually(t, partLimit, "all credentials are replaced", func() error {
			if notes := r.status(t, name).Notes; len(notes) > 0 {
				return fmt.Errorf("%q", notes)
			}
			return nil
		})
		t.Logf("%s parted after %.0f s", name, time.Since(began).Seconds())
		equal(t, "restarts", kubes[i].get(t, "pod/keeper", ".status.containerStatuses[0].restartCount"), "0")
		kubes[i].asksAPI(t)
	}
	r.assertNothingShared(t, names[0], names[1], kubes[0], kubes[1], "bootID of control-plane-1", "bootID of worker-1")
	for _, name := range names {
		r.skiff(t, "down", name)
	}

	const boots = "boots"
	t.Cleanup(func() { r.discard(t, boots) })
	dir := template.Dir(home.Home(r.home), key)
	memory, err := filepath.Glob(filepath.Join(dir.Snapshots(), "*", "machines", "worker-1", "saved.memory"))
	if err != nil || len(memory) != 1 {
		t.Fatalf("memory %q, %v", memory, err)
	}
	damage(t, memory[0])
	a := r.withTemplates(t, append([]string{"up", boots}, flags...)...)
	equal(t, "exit code", a.code, 0)
	contains(t, "damaged memory", a.stdout, "the checksum is wrong; booted instead")
	if _, err := os.Stat(string(home.Home(r.home).Template(key))); err == nil {
		t.Error("the damaged template is still there")
	}
}
