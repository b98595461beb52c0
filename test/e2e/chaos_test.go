package e2e

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// spread is a deployment with a replica in each of three zones, also on control planes.
const spread = `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"spread"},"spec":{"replicas":3,
"selector":{"matchLabels":{"app":"spread"}},"template":{"metadata":{"labels":{"app":"spread"}},"spec":{
"terminationGracePeriodSeconds":1,"tolerations":[{"operator":"Exists","effect":"NoSchedule"}],
"topologySpreadConstraints":[{"maxSkew":1,"topologyKey":"topology.kubernetes.io/zone","whenUnsatisfiable":"DoNotSchedule","labelSelector":{"matchLabels":{"app":"spread"}}}],
"containers":[{"name":"c","image":"skiff.test/workload:1"}]}}}}`

// testChaos breaks nodes of a cluster whose control planes are in three zones: faults of one
// node first, then a whole zone.
func testChaos(t *testing.T, r *rig) {
	const name = "chaos"
	t.Cleanup(func() { r.discard(t, name) })
	r.skiff(t, "up", name, "--control-planes", "3", "--workers", "0", "--zones", "3", "--memory", "1Gi")
	r.load(t, name)
	k := &kube{rig: r, context: "skiff-" + name}
	k = k.in(t)
	const victim, other = "control-plane-2", "192.168.104.11"
	ping := func() float64 { // milliseconds, negative without an answer
		a := r.trySkiff(t, "shell", "-c", name, victim, "--", "ping", "-c1", "-W2", other)
		_, after, found := strings.Cut(a.stdout, "time=")
		text, _, _ := strings.Cut(after, " ")
		took, err := strconv.ParseFloat(text, 64)
		if !found || err != nil {
			return -1
		}
		return took
	}

	r.skiff(t, "chaos", "latency", victim, "-c", name, "--delay", "300ms", "--for", "1h")
	if took := ping(); took < 300 {
		t.Errorf("a round trip takes %g ms", took)
	}
	contains(t, "status", r.skiff(t, "status", name), "latency-1: "+victim+" (latency 300ms)", "latency 300ms (latency-1)")
	r.skiff(t, "chaos", "clear", "latency-1", "-c", name)
	if took := ping(); took < 0 || took >= 300 {
		t.Errorf("after the end, a round trip takes %g ms", took)
	}
	r.skiff(t, "chaos", "pause", victim, "-c", name, "--for", "2s", "--wait")
	r.skiff(t, "chaos", "kill", victim, "-c", name, "--for", "1s", "--wait")
	equal(t, "machine after both", r.status(t, name).Nodes[1].Machine, "running")
	for _, args := range [][]string{{"clock", victim}, {"disk-full", victim}, {"kill", "worker-9"}, {"zone", "local-z"}} {
		a := r.trySkiff(t, append([]string{"chaos", "-c", name}, args...)...)
		if a.code != 2 || strings.Count(a.stderr, "\n") != 1 {
			t.Errorf("skiff chaos %s: exit code %d, %q", strings.Join(args, " "), a.code, a.stderr)
		}
	}
	r.skiff(t, "up", name)

	if a := k.create(t, spread); a.code != 0 {
		t.Fatal(a.stderr)
	}
	k.rollout(t, "deployment/spread")
	var fault daemonapi.Fault
	r.skiffJSON(t, &fault, "chaos", "zone", "local-b", "-c", name, "--for", "1h")
	equal(t, "nodes of the zone", fmt.Sprint(fault.Nodes, fault.Warning), "["+victim+"]")
	eventually(t, waitLimit, "the node of the zone is not Ready", func() error {
		// Each attempt shows that the API answers.
		if ready := k.get(t, "node/"+victim, `.status.conditions[?(@.type=="Ready")].status`); ready != "Unknown" {
			return fmt.Errorf("it is %q", ready)
		}
		return nil
	})
	eventually(t, waitLimit, "two of three replicas are available", func() error {
		if available := k.get(t, "deployment/spread", ".status.availableReplicas"); available != "2" {
			return fmt.Errorf("%q are", available)
		}
		return nil
	})
	r.skiff(t, "chaos", "clear", "-c", name)
	k.wait(t, "condition=Ready", "nodes", "--all")
	k.rollout(t, "deployment/spread")
}

// testRepair lets the node API of a worker hang, and waits until the daemon has repaired
// it.
func testRepair(t *testing.T, r *rig) {
	const name = "repair"
	t.Cleanup(func() { r.discard(t, name) })
	r.skiff(t, "up", name, "--workers", "1", "--memory", "1Gi", "--repair", "30s")
	k := &kube{rig: r, context: "skiff-" + name, namespace: "default"}
	time.Sleep(10 * time.Second) // the daemon must have seen it healthy
	r.skiff(t, "shell", "-c", name, "worker-1", "--", "sh", "-c", "(sleep 1; kill -STOP $(pidof skiff-init | tr ' ' '\\n' | grep -vx 1)) >/dev/null 2>&1 &")
	eventually(t, waitLimit, "the node is repaired", func() error {
		repairs := r.status(t, name).Repairs
		if len(repairs) == 0 || repairs[0].Ended.IsZero() {
			return fmt.Errorf("repairs %+v", repairs)
		}
		equal(t, "repair", repairs[0].Node+" "+repairs[0].Action+repairs[0].Failure, "worker-1 restart")
		return nil
	})
	contains(t, "status", r.skiff(t, "status", name), "Repair ", "restarted worker-1")
	contains(t, "events", k.kubectl(t, "get", "events"), "SkiffRepaired")
	r.running(t, name)
}
