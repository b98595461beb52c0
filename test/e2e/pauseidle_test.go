package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// longSleep is longer than the time after which nodes count as unknown if they do not renew
// their leases.
const longSleep = time.Minute

// testPauseIdle lets the shared cluster be paused whenever nobody uses it, and wakes it by
// each kind of use.
func testPauseIdle(t *testing.T, r *rig, name string, k *kube) {
	k = k.in(t)
	k.apply(t, "web.yaml")
	k.rollout(t, "deployment/shop")
	k.kubectl(t, "expose", "deployment/shop", "--name=outside", "--type=LoadBalancer", "--port=80", "--target-port=8080")
	balancer := "http://" + r.awaitHost(t, name, k.namespace, "outside", 80)[0] + "/hostname"
	e := r.entry(t, name)
	byName := e.at(e.plain, "shop", k.namespace) + "/hostname"
	r.curls(t, "200", []string{"shop-"}, byName)
	r.curls(t, "200", []string{"shop-"}, balancer)

	for idle, want := range map[string]string{"soon": "invalid pause.idle", "1s": "must be off, or between", "": "invalid --idle"} {
		a := r.trySkiff(t, "pause", name, "--idle="+idle)
		equal(t, "exit code of pause --idle="+idle, a.code, 2)
		contains(t, "pause --idle="+idle, a.stderr, want)
	}
	a := r.trySkiff(t, "up", name, "--pause-idle", "never")
	equal(t, "exit code of up", a.code, 2)
	contains(t, "pause --idle", r.skiff(t, "pause", name, "--idle", "5s"), "whenever nobody has used it for 5s")
	t.Cleanup(func() { r.skiff(t, "pause", name, "--idle", "off") })
	pods, machines := k.pods(t, "app=shop"), r.status(t, name).Nodes

	r.awaitSleep(t, name)
	contains(t, "status", r.skiff(t, "status", name), name+", paused, wakes on use")
	r.assertFrozen(t, name)
	r.wakes(t, name, "kubectl get nodes", func() error {
		if out := k.kubectl(t, "get", "nodes"); strings.Count(out, " Ready ") != len(machines) {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	get := func(url string) func() error {
		return func() error {
			_, body, err := r.curl(t, url)
			if err == nil && !strings.Contains(body, "shop-") {
				err = fmt.Errorf("answered %q", body)
			}
			return err
		}
	}
	for what, use := range map[string]func() error{
		"a request to a name": get(byName), "a request to a load balancer": get(balancer),
		"skiff shell": func() error { r.skiff(t, "shell", "-c", name, "worker-1", "--", "true"); return nil },
	} {
		r.awaitSleep(t, name)
		r.wakes(t, name, what, use)
	}

	r.awaitSleep(t, name)
	time.Sleep(longSleep)
	r.wakes(t, name, "a request after a long time", get(byName))
	for began := time.Now(); time.Since(began) < 15*time.Second; time.Sleep(100 * time.Millisecond) {
		for _, url := range []string{byName, balancer} {
			if err := get(url)(); err != nil {
				t.Fatalf("%s after the cluster woke: %s: %v", time.Since(began), url, err)
			}
		}
	}
	r.running(t, name)

	// An open connection keeps it awake, and a pause by the user does not end by itself.
	watch := r.background(t, "logs", "-c", name, "worker-1", "--source", "nodeagent", "-f")
	time.Sleep(8 * time.Second)
	equal(t, "phase while a log is followed", r.status(t, name).Phase, "running")
	contains(t, "status while a log is followed", r.skiff(t, "status", name), "Pauses      after 5s without use; now in use by requests of skiff (1)")
	if err := watch.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = watch.Wait() // it was killed
	r.awaitSleep(t, name)
	contains(t, "pause", r.skiff(t, "pause", name), "already paused, and no longer wakes on use")
	if a := k.try(t, "get", "nodes", "--request-timeout", "5s"); a.code == 0 {
		t.Errorf("kubectl woke a cluster that the user has paused: %s", a.stdout)
	}
	equal(t, "phase", r.status(t, name).Phase, "paused")
	r.skiff(t, "resume", name)
	if now := k.pods(t, "app=shop"); !slices.Equal(now, pods) {
		t.Errorf("pods are %+v\nbefore: %+v", now, pods)
	}
	for i, n := range r.running(t, name).Nodes {
		if !n.Started.Equal(machines[i].Started) {
			t.Errorf("machine %s was started at %s before, now at %s", n.Name, machines[i].Started, n.Started)
		}
	}
}

// awaitSleep waits until the cluster is paused because nobody uses it.
func (r *rig) awaitSleep(t *testing.T, name string) {
	t.Helper()
	eventually(t, waitLimit, "the cluster is paused", func() error {
		if status := r.status(t, name); status.Phase != "paused" || !status.WakesOnUse {
			return fmt.Errorf("it is %s, and pauses %v", status.Phase, status.Standby)
		}
		return nil
	})
}

// wakes checks that a use of a paused cluster succeeds, and logs how long it took.
func (r *rig) wakes(t *testing.T, name, what string, use func() error) {
	t.Helper()
	began := time.Now()
	err := use()
	t.Logf("%s of the paused cluster took %d ms", what, time.Since(began).Milliseconds())
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
	if status := r.status(t, name); status.Phase == "paused" {
		t.Errorf("the cluster is paused after %s", what)
	}
}
