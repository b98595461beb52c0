package e2e

import (
	"os"
	"testing"
)

// workloads are the tests that any Kubernetes cluster passes whose nodes have
// the images; each has a namespace of its own and they run side by side.
var workloads = []struct {
	name string
	test func(*testing.T, *kube)
}{
	{"CronJob", testCronJob}, // first, since it waits for the clock
	{"RollingUpdate", testRollingUpdate},
	{"Service", testService},
	{"NetworkPolicy", testNetworkPolicy},
	{"StatefulSet", testStatefulSet},
	{"Probes", testProbes},
	{"Claim", testClaim},
	{"Streams", testStreams},
	{"Helm", testHelm},
	{"Configuration", testConfiguration},
	{"Job", testJob},
	{"DaemonSet", testDaemonSet},
	{"CustomResource", testCustomResource},
	{"Texts", testTexts},
	{"Apply", testApply},
	{"APIFromPod", testAPIFromPod},
}

func TestEndToEnd(t *testing.T) {
	r := newRig(t)
	if os.Getenv("SKIFF_E2E_KUBECONFIG") != "" {
		k := &kube{rig: r}
		k.discover(t)
		runWorkloads(t, k)
		return
	}

	// The shared cluster is no subtest: whichever subtest is chosen, it is there.
	const name = "first"
	t.Cleanup(func() {
		if t.Failed() || len(r.traces(t, name)) > 0 {
			r.discard(t, name)
		}
	})
	r.up(t, name)
	r.load(t, name)
	k := &kube{rig: r, context: "skiff-" + name}
	k.discover(t)
	equal(t, "nodes that take pods", len(k.workers), 2)

	runWorkloads(t, k)
	r.subtest(t, "Outside", func(t *testing.T) { testOutside(t, k.in(t)) })
	r.subtest(t, "BadArchives", func(t *testing.T) { testBadArchives(t, r, name) })
	r.subtest(t, "InsideNodes", func(t *testing.T) { testInsideNodes(t, r, name) })
	r.subtest(t, "Ports", func(t *testing.T) { testPorts(t, r, name) })
	r.subtest(t, "RotateSecrets", func(t *testing.T) { testRotateSecrets(t, r, name, k) })
	r.subtest(t, "Renewal", func(t *testing.T) { testRenewal(t, r, name, k) })
	r.subtest(t, "Pause", func(t *testing.T) { testPause(t, r, name, k) })
	r.subtest(t, "UpTwice", func(t *testing.T) { testUpTwice(t, r, name) })
	t.Run("Failures", func(t *testing.T) {
		// They wait more than they work, and do not touch the same cluster.
		r.parallel(t, "WorkerIsKilled", func(t *testing.T) { testWorkerIsKilled(t, r, name, k) })
		r.parallel(t, "DaemonIsKilled", func(t *testing.T) { testDaemonIsKilled(t, r, name) })
	})
	r.subtest(t, "DownDuringUp", func(t *testing.T) { testDownDuringUp(t, r) })
	r.subtest(t, "TwoYears", func(t *testing.T) { testTwoYears(t, r, name, k) })
	r.subtest(t, "ControlPlanes", func(t *testing.T) { testControlPlanes(t, r, name, k) })
	r.subtest(t, "LogsExport", func(t *testing.T) { testLogsExport(t, r, name) })
	r.subtest(t, "Run", func(t *testing.T) { testRun(t, r) })
	if r.keep {
		return
	}
	if t.Failed() {
		r.dump(t, name)
	}
	r.subtest(t, "Down", func(t *testing.T) {
		r.skiff(t, "down", name)
		r.noTrace(t, name)
		r.kubeconfigIsAsBefore(t)
	})
}

func runWorkloads(t *testing.T, k *kube) {
	t.Run("Workloads", func(t *testing.T) {
		for _, workload := range workloads {
			k.parallel(t, workload.name, func(t *testing.T) { workload.test(t, k.in(t)) })
		}
	})
	k.subtest(t, "Drain", func(t *testing.T) { testDrain(t, k.in(t)) })
}

// subtest runs a measured subtest.
func (r *rig) subtest(t *testing.T, name string, test func(*testing.T)) {
	t.Run(name, func(t *testing.T) {
		r.measure(t)
		test(t)
	})
}

// parallel is subtest beside others; its clock starts with its turn.
func (r *rig) parallel(t *testing.T, name string, test func(*testing.T)) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		r.measure(t)
		test(t)
	})
}
