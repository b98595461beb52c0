package e2e

import (
	"slices"
	"testing"
)

// testEdgeReturns kills the daemon of a cluster whose services, ports and names answer on
// the host, and starts the cluster again: all of them answer where they did before.
func testEdgeReturns(t *testing.T, r *rig) {
	const name = "returns"
	t.Cleanup(func() { r.discard(t, name) })
	r.skiff(t, append(small("up", name), "--port", "28085:svc/default/web:http")...)
	r.load(t, name)
	k := &kube{rig: r, context: "skiff-" + name, namespace: "default"}
	k.apply(t, "host-service.yaml")
	k.rollout(t, "deployment/web")
	r.skiff(t, "port", "add", "--cluster", name, "28086:svc/default/web:http")
	before, local := r.awaitHost(t, name, "default", "web", 28080), r.awaitHost(t, name, "default", "web-local", 28080)
	web := r.entry(t, name)
	page := web.at(web.plain, "web", "default") + "/hostname"
	ports := []string{"127.0.0.1:28085", "127.0.0.1:28086"}
	all := func() {
		t.Helper()
		servers := k.pods(t, "app=web")
		for _, at := range slices.Concat(before, local, ports) {
			r.answers(t, at, servers)
		}
		r.curls(t, "200", []string{"web-"}, page)
	}
	all()

	kill(t, r.status(t, name).DaemonPID)
	for _, at := range slices.Concat(before, local, ports) {
		refuses(t, at)
	}
	a := r.trySkiff(t, small("up", name)...)
	t.Logf("up after the daemon was killed: exit code %d in %.1f s\n%s%s", a.code, a.took.Seconds(), a.stdout, a.stderr)
	equal(t, "exit code of up", a.code, 0)
	k.rollout(t, "deployment/web")
	for service, want := range map[string][]string{"web": before, "web-local": local} {
		if got := r.awaitHost(t, name, "default", service, 28080); !slices.Equal(got, want) {
			t.Errorf("%s answers on %v, before on %v", service, got, want)
		}
	}
	equal(t, "address of names", r.entry(t, name).plain, web.plain)
	all()
	r.skiff(t, "down", name)
	r.assertNoTraces(t, name)
}
