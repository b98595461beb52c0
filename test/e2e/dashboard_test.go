package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/test/dashboard/tab"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// testDashboard uses the dashboard of a cluster in a browser: logs, a shell, a
// port-forward, actions, a user with few rights, and a paused cluster.
func testDashboard(t *testing.T, r *rig, name string, k *kube) {
	k.apply(t, "dashboard.yaml")
	k.rollout(t, "deployment/shop")
	k.wait(t, "condition=Ready", "pod/hostile", "pod/echo")
	pod := k.pods(t, "app=shop")[0].name
	b := tab.Open(t, r.dashboard(t, name))
	r.assertLoopbackOnly(t, name)
	b.Allow("/api/metrics/") // the store may have no values yet

	b.Visit("overview")
	b.See(name, "worker-1")
	b.Visit("list/pods")
	b.See(pod)
	b.Visit("object/pods/" + k.namespace + "/hostile?tab=logs")
	b.See("<img src=x")
	if tab.Evaluate[bool](b, `"pwned" in window || document.title.includes("pwned")`) {
		t.Error("a log line ran a script")
	}
	b.Clean("logs")
	equal(t, "output of a shell", b.Exec(k.namespace, pod, "cat", "/etc/hostname"), pod)
	k.tryTerminal(t, b, pod)
	k.trySearch(t, b)
	k.tryForward(t, b, pod)
	k.tryActions(t, b)
	k.tryFewRights(t, name)

	r.skiff(t, "pause", name)
	b.Allow("502", "503", "Failed to load resource", "WebSocket") // while the cluster is paused
	b.Await("a paused cluster", `fetch("/api/status").then((r) => r.json()).then((s) => s.phase === "paused")`)
	r.skiff(t, "resume", name)
	b.Visit("list/pods")
	b.See("hostile")
	b.Await("an API server that answers", `fetch("/api/kubernetes/version").then((r) => r.ok)`)
	b.Clean("a cluster that was paused")
}

// dashboard returns a link to a cluster's dashboard.
func (r *rig) dashboard(t *testing.T, name string, args ...string) string {
	t.Helper()
	var link daemonapi.DashboardLink
	r.skiffJSON(t, &link, append([]string{"dashboard", name}, args...)...)
	return link.URL
}

// tryTerminal types into a shell, and into a container's main process.
func (k *kube) tryTerminal(t *testing.T, b *tab.Tab, pod string) {
	t.Helper()
	const focused = `document.activeElement?.classList.contains("xterm-helper-textarea")`
	b.Visit("object/pods/" + k.namespace + "/" + pod + "?tab=shell")
	b.Await("a terminal", focused)
	b.Type("echo in-$((40+2))\r")
	b.See("in-42")
	b.Visit("object/pods/" + k.namespace + "/echo?tab=shell")
	b.Allow("closed before the connection is established") // if the shell has not connected yet
	b.Choose("What to open", "Attach")
	b.Await("a terminal", focused)
	b.Type("hello\r")
	b.See("you said hello")
	b.Clean("terminals")
}

// trySearch finds stored lines, and shows the fields of one.
func (k *kube) trySearch(t *testing.T, b *tab.Tab) {
	t.Helper()
	b.Visit("logs")
	b.Fill("Search the logs", "onerror !nothing")
	b.Fill("Pod", "hostile")
	b.Press("Refresh")
	b.Press("Search")
	b.See("hostile/hostile", "<img src=x")
	tab.Evaluate[bool](b, `(document.querySelector(".log-time").click(), true)`)
	b.See("pod_uid", k.namespace)
	b.Confirm("Close")
	b.Clean("the search of logs")
}

// tryForward reaches a pod through a port-forward of the dashboard.
func (k *kube) tryForward(t *testing.T, b *tab.Tab, pod string) {
	t.Helper()
	var forward struct{ ID, Address string }
	b.Send(http.MethodPost, "/api/forwards", fmt.Sprintf(`{"namespace":%q,"pod":%q,"port":8080}`, k.namespace, pod), &forward)
	k.curls(t, "200", []string{pod}, "http://"+forward.Address+"/hostname")
	b.Send(http.MethodDelete, "/api/forwards/"+forward.ID, "", nil)
	eventually(t, waitLimit, "the port-forward ends", func() error {
		if status, _, err := k.curl(t, "http://"+forward.Address+"/hostname"); err == nil {
			return fmt.Errorf("status %s", status)
		}
		return nil
	})
}

// tryActions carries out actions of the dashboard, and checks that dry runs change nothing.
func (k *kube) tryActions(t *testing.T, b *tab.Tab) {
	t.Helper()
	var done struct {
		Message  string
		Affected []string
		Objects  []struct{ Result, Diff string }
	}
	act := func(action, body string) string {
		t.Helper()
		done.Affected, done.Objects = nil, nil
		b.Send(http.MethodPost, "/api/actions/"+action, body, &done)
		return done.Message
	}
	shop := fmt.Sprintf(`"kind":"deployments.apps","namespace":%q,"name":"shop"`, k.namespace)
	act("scale", "{"+shop+`,"replicas":1,"dryRun":true}`)
	equal(t, "what scaling affects", strings.Join(done.Affected, "; "), "1 pod is deleted (2 now, 1 afterwards)")
	equal(t, "replicas after a dry run", k.get(t, "deployment/shop", ".spec.replicas"), "2")
	act("scale", "{"+shop+`,"replicas":1}`)
	equal(t, "replicas", k.get(t, "deployment/shop", ".spec.replicas"), "1")
	act("restart", "{"+shop+"}")
	k.rollout(t, "deployment/shop")
	act("rollback", "{"+shop+"}")
	k.rollout(t, "deployment/shop")

	manifest, err := json.Marshal("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: applied, namespace: " + k.namespace + "}\ndata: {colour: green}\n")
	if err != nil {
		t.Fatal(err)
	}
	act("apply", `{"dryRun":true,"yaml":`+string(manifest)+"}")
	if len(done.Objects) != 1 || done.Objects[0].Result != "created" || !strings.Contains(done.Objects[0].Diff, "+  colour: green") {
		t.Errorf("dry run of apply: %+v", done)
	}
	act("apply", `{"yaml":`+string(manifest)+"}")
	equal(t, "applied value", k.get(t, "configmap/applied", ".data.colour"), "green")

	node := k.workers[len(k.workers)-1].name
	act("drain", fmt.Sprintf(`{"kind":"nodes","name":%q,"dryRun":true}`, node))
	if len(done.Affected) < 2 || k.get(t, "node/"+node, ".spec.unschedulable") != "" {
		t.Errorf("dry run of drain: %+v", done)
	}
	act("cordon", fmt.Sprintf(`{"kind":"nodes","name":%q}`, node))
	equal(t, "unschedulable", k.get(t, "node/"+node, ".spec.unschedulable"), "true")
	act("uncordon", fmt.Sprintf(`{"kind":"nodes","name":%q}`, node))
	act("delete", fmt.Sprintf(`{"kind":"configmaps","namespace":%q,"name":"applied"}`, k.namespace))
}

// tryFewRights logs in as a user who may only view one namespace.
func (k *kube) tryFewRights(t *testing.T, name string) {
	t.Helper()
	pod := k.pods(t, "app=shop")[0].name
	k.kubectl(t, "create", "rolebinding", "jane", "--clusterrole=view", "--user=jane")
	b := tab.Open(t, k.dashboard(t, name, "--as", "jane"))
	b.Allow("403")
	for path, want := range map[string]int{
		"/api/kubernetes/api/v1/namespaces/" + k.namespace + "/pods/" + pod: 200, "/api/kubernetes/api/v1/namespaces/kube-system/pods": 403,
		"/api/kubernetes/api/v1/nodes": 403, "/api/kubernetes/api/v1/namespaces/" + k.namespace + "/secrets": 403, "/api/metrics/api/v1/targets": 403, "/api/services": 403,
	} {
		if got := tab.Evaluate[int](b, fmt.Sprintf(`fetch(%q).then((r) => r.status)`, path)); got != want {
			t.Errorf("jane: %s: status %d, want %d", path, got, want)
		}
	}
	// Of what is stored, she sees her namespace only.
	const entries = `fetch("/api/logs/select/logsql/query?limit=5000&query=" + encodeURIComponent("* | union ({source=\"audit\"})")).then((r) => r.text())
		.then((all) => [...new Set(all.split("\n").filter(Boolean).map((line) => JSON.parse(line)).map((e) => e.source + " of " + e.namespace))].sort().join())`
	want := "container of " + k.namespace + ",event of " + k.namespace
	b.Await("entries of her namespace", entries+".then((found) => found === "+strconv.Quote(want)+")")
	// A tail sends what is stored already, and then what arrives.
	const tail = `fetch("/api/logs/select/logsql/tail?query=*&offset=0s&start_offset=1h").then(async (r) => {
		const reader = r.body.getReader()
		const chunk = new TextDecoder().decode((await reader.read()).value)
		await reader.cancel()
		return chunk.split("\n").slice(0, -1).map((line) => JSON.parse(line).namespace)
	})`
	b.Await("a tail of her namespace", tail+".then((found) => found.length > 0 && found.every((n) => n === "+strconv.Quote(k.namespace)+"))")
	// The administrator sees every cluster on this host, she only the one that she is in.
	const clusters = `fetch("/api/clusters").then((r) => r.json()).then((all) => all.map((c) => c.name).sort().join())`
	equal(t, "clusters that jane sees", tab.Evaluate[string](b, clusters), name)
	b.Clean("a user with few rights")
}
