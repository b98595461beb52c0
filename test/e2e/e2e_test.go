package e2e

import (
	"flag"
	"os"
	"strings"
	"testing"
)

// workloads are tests that any Kubernetes cluster passes if its nodes have the
// images. Each uses its own namespace, and they run in parallel.
var workloads = []struct {
	name string
	test func(*testing.T, *kube)
}{
	{"CronJob", testCronJob}, // first, because it waits for a full minute
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
	{"KubectlOutput", testKubectlOutput},
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

	// Creating the shared cluster is not a subtest, because all subtests need it.
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
	equal(t, "schedulable nodes", len(k.workers), 2)

	runWorkloads(t, k)
	r.subtest(t, "Cloud", func(t *testing.T) { testCloud(t, k, name) })
	if r.sandboxed { // nothing here depends on machines
		r.subtest(t, "Simulated", func(t *testing.T) { testSimulated(t, r, name, k.in(t)) })
	}
	r.subtest(t, "Metrics", func(t *testing.T) { testMetrics(t, k.in(t)) })
	r.subtest(t, "Logs", func(t *testing.T) { testLogs(t, r, name, k.in(t)) })
	r.subtest(t, "Services", func(t *testing.T) { testServices(t, r, name, k.in(t)) })
	r.subtest(t, "LoadBalancer", func(t *testing.T) { testLoadBalancer(t, r, name, k.in(t)) })
	r.subtest(t, "Connect", func(t *testing.T) { testConnect(t, r, name, k.in(t)) })
	r.subtest(t, "HostFolder", func(t *testing.T) { testHostFolder(t, r, name, k.in(t)) })
	r.subtest(t, "Egress", func(t *testing.T) { testEgress(t, k.in(t)) })
	r.subtest(t, "HostPorts", func(t *testing.T) { testHostPorts(t, r, name, k) })
	r.subtest(t, "CustomDNS", func(t *testing.T) { testCustomDNS(t, r, name, k) })
	r.subtest(t, "Confinement", func(t *testing.T) { testConfinement(t, k.in(t)) })
	r.subtest(t, "BadArchives", func(t *testing.T) { testBadArchives(t, r, name) })
	r.subtest(t, "InsideNodes", func(t *testing.T) { testInsideNodes(t, r, name) })
	r.subtest(t, "Build", func(t *testing.T) { testBuild(t, r, name, k.in(t)) })
	r.subtest(t, "Registry", func(t *testing.T) { testRegistry(t, r, name, k.in(t)) })
	r.subtest(t, "Proxy", func(t *testing.T) { testProxy(t, r, name, k.in(t)) })
	r.subtest(t, "APIAddress", func(t *testing.T) { testAPIAddress(t, r, name, k) })
	r.subtest(t, "Peers", func(t *testing.T) { testPeers(t, r, name, k.in(t)) })
	r.subtest(t, "NodeReturns", func(t *testing.T) { testNodeReturns(t, r, name, k.in(t)) })
	r.subtest(t, "Ports", func(t *testing.T) { testPorts(t, r, name) })
	r.subtest(t, "Web", func(t *testing.T) { testWeb(t, r, name, k.in(t)) })
	r.subtest(t, "Browser", func(t *testing.T) { testBrowser(t, r, name, k.in(t)) })
	r.subtest(t, "Release", func(t *testing.T) { testRelease(t, r, name, k.in(t)) })
	r.subtest(t, "Databases", func(t *testing.T) { testDatabases(t, r, name, k.in(t)) })
	r.subtest(t, "Dashboard", func(t *testing.T) { testDashboard(t, r, name, k.in(t)) })
	r.subtest(t, "Clients", func(t *testing.T) { testClients(t, r, name, k.in(t)) })
	r.subtest(t, "Intruder", func(t *testing.T) { testIntruder(t, r, name, k) })
	r.subtest(t, "RotateSecrets", func(t *testing.T) { testRotateSecrets(t, r, name, k) })
	r.subtest(t, "Renewal", func(t *testing.T) { testRenewal(t, r, name, k) })
	r.subtest(t, "Pause", func(t *testing.T) { testPause(t, r, name, k) })
	r.subtest(t, "PauseIdle", func(t *testing.T) { testPauseIdle(t, r, name, k) })
	r.subtest(t, "UpOfRunningCluster", func(t *testing.T) { testUpOfRunningCluster(t, r, name) })
	t.Run("Failures", func(t *testing.T) {
		// These mostly wait, and use different clusters.
		r.parallel(t, "KillWorker", func(t *testing.T) { testKillWorker(t, r, name, k) })
		if !r.sandboxed { // those boot within a second, before anything can interrupt them
			r.parallel(t, "KillDaemon", func(t *testing.T) { testKillDaemon(t, r, name) })
		}
	})
	if !r.sandboxed {
		r.subtest(t, "DownDuringUp", func(t *testing.T) { testDownDuringUp(t, r) })
	}
	r.subtest(t, "ExpiredCertificates", func(t *testing.T) { testExpiredCertificates(t, r, name, k) })
	r.subtest(t, "ControlPlanes", func(t *testing.T) { testControlPlanes(t, r, name, k) })
	r.subtest(t, "Restore", func(t *testing.T) { testRestore(t, r, name, k) })
	r.subtest(t, "KeptLogs", func(t *testing.T) { testKeptLogs(t, r) })
	r.subtest(t, "LogsExport", func(t *testing.T) { testLogsExport(t, r, name) })
	if r.sandboxed { // VMs record the same metrics, but another cluster takes minutes there
		r.subtest(t, "Monitoring", func(t *testing.T) { testMonitoring(t, r) })
	}
	if r.sandboxed { // emulated nodes take minutes for what takes seconds here
		r.subtest(t, "Chaos", func(t *testing.T) { testChaos(t, r) })
		r.subtest(t, "Repair", func(t *testing.T) { testRepair(t, r) })
	}
	r.subtest(t, "Run", func(t *testing.T) { testRun(t, r) })
	if !r.sandboxed { // the memory of sandboxes cannot be kept
		tests := map[string]func(*testing.T, *rig){"Memory": testMemory, "Template": testTemplate}
		if named("CloneMemory") { // it waits a quarter of an hour for a rotation
			tests["CloneMemory"] = testCloneMemory
		}
		if named("TemplateParts") { // and so does this
			tests["TemplateParts"] = testTemplateParts
		}
		for test, run := range tests {
			t.Run(test, func(t *testing.T) {
				r.setAside(t, name)
				run(t, r)
			})
		}
	}
	t.Run("Clusters", func(t *testing.T) {
		// Each has a cluster of its own.
		if !r.sandboxed {
			r.setAside(t, name)
		}
		if r.sandboxed { // first, because they wait for minutes
			r.parallel(t, "RotateAuthorities", func(t *testing.T) { testRotateAuthorities(t, r) })
			r.parallel(t, "RotateAuthoritiesOfThree", func(t *testing.T) { testRotateAuthoritiesOfThree(t, r) })
		}
		r.parallel(t, "DualStack", func(t *testing.T) { testDualStack(t, r) })
		r.parallel(t, "HostDNS", func(t *testing.T) { testHostDNS(t, r) })
		r.parallel(t, "Settings", func(t *testing.T) { testSettings(t, r) })
		r.parallel(t, "NodeGroups", func(t *testing.T) { testNodeGroups(t, r) })
		// More clusters take minutes on VMs, so these run there only if -run names them.
		for _, test := range []struct {
			name string
			run  func(*testing.T, *rig)
		}{
			{"Autoscaling", testAutoscaling}, {"OwnNetwork", testOwnNetwork}, {"GoPackage", testGoPackage},
			{"Addons", testAddons}, {"Upgrade", testUpgrade}, {"Runtimes", testRuntimes},
			{"EdgeReturns", testEdgeReturns}, {"HostSleeps", testHostSleeps}, {"Snapshot", testSnapshot},
			{"ReadOnlyFolder", testReadOnlyFolder}, // VMs need a virtiofsd that Debian 12 does not have
		} {
			if r.sandboxed || named(test.name) {
				r.parallel(t, test.name, func(t *testing.T) { test.run(t, r) })
			}
		}
	})
	r.subtest(t, "WebEntry", func(t *testing.T) { testWebEntry(t, r, name) })
	if r.keep {
		return
	}
	if t.Failed() {
		r.dump(t, name)
	}
	r.subtest(t, "Down", func(t *testing.T) {
		r.skiff(t, "down", name)
		r.assertNoTraces(t, name)
		r.assertKubeconfigRestored(t)
	})
}

// named reports whether the flag -run names a test.
func named(test string) bool {
	return strings.Contains(flag.Lookup("test.run").Value.String(), test)
}

func runWorkloads(t *testing.T, k *kube) {
	t.Run("Workloads", func(t *testing.T) {
		for _, workload := range workloads {
			k.parallel(t, workload.name, func(t *testing.T) { workload.test(t, k.in(t)) })
		}
	})
	k.subtest(t, "Drain", func(t *testing.T) { testDrain(t, k.in(t)) })
}

// subtest runs a subtest and records its duration.
func (r *rig) subtest(t *testing.T, name string, test func(*testing.T)) {
	t.Run(name, func(t *testing.T) {
		r.measure(t)
		test(t)
	})
}

// parallel is subtest for parallel tests. The time that it waits for its turn is
// not recorded.
func (r *rig) parallel(t *testing.T, name string, test func(*testing.T)) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		r.measure(t)
		test(t)
	})
}
