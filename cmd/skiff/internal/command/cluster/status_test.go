package cluster

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

func TestNodeRowsShowTheCondition(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for _, c := range []struct {
		node daemonapi.NodeStatus
		want string
	}{
		{daemonapi.NodeStatus{Machine: "stopped", Ready: "True"}, "stopped"},
		{daemonapi.NodeStatus{Machine: "paused"}, "paused"},
		{daemonapi.NodeStatus{Machine: "running"}, "booting"},
		{daemonapi.NodeStatus{Machine: "running", Agent: true}, "not registered"},
		{daemonapi.NodeStatus{Machine: "running", Agent: true, Ready: "False"}, "NotReady"},
		{daemonapi.NodeStatus{Machine: "running", Agent: true, Ready: "Unknown"}, "Unknown"},
		{daemonapi.NodeStatus{Machine: "running", Agent: true, Ready: "True"}, "Ready"},
	} {
		if got := nodeRows([]daemonapi.NodeStatus{c.node}, now)[1][2]; got != c.want {
			t.Errorf("%+v: %q, want %q", c.node, got, c.want)
		}
	}
	row := nodeRows([]daemonapi.NodeStatus{{
		Name: "worker-1", Role: "worker", Machine: "running", Agent: true, Ready: "True", Address: "192.168.104.21", CPUs: 2,
		MemoryMiB: 2048, HostMemoryMiB: 391, DiskUsedBytes: 5 << 30 / 2, Started: now.Add(-3 * time.Minute),
	}}, now)[1]
	if got, want := strings.Join(row, " "), "worker-1 worker Ready 192.168.104.21 2 2048Mi 391Mi 2.5Gi 3m - "; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestNodeRowsShowWhenTheFirstCertificateExpires(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for rest, want := range map[time.Duration]string{360 * 24 * time.Hour: "360d", 3 * time.Hour: "3h", -time.Hour: "expired"} {
		rows := nodeRows([]daemonapi.NodeStatus{{Certificates: []nodeapi.Certificate{
			{Name: "etcd/peer", Expires: now.Add(rest)}, {Name: "apiserver", Expires: now.Add(400 * 24 * time.Hour)},
		}}}, now)
		if column := slices.Index(rows[0], "CERTS"); rows[1][column] != want {
			t.Errorf("%s: %q, want %q", rest, rows[1][column], want)
		}
	}
}

func TestNodesWithAnOlderImageAreMarked(t *testing.T) {
	rows := nodeRows([]daemonapi.NodeStatus{{Outdated: true, Kubernetes: "v1.35.8"}, {Outdated: true, Reason: "broken"}, {Kubernetes: "v1.35.8"}}, time.Now())
	for i, want := range []string{"older node image v1.35.8: see `skiff upgrade --plan`", "broken", ""} {
		if got := rows[i+1][len(rows[0])-1]; got != want {
			t.Errorf("message %q, want %q", got, want)
		}
	}
	used := daemonapi.ClusterStatus{Phase: "running", Standby: &daemonapi.Standby{After: "15m", Uses: map[string]int{"requests of skiff": 1, "connections to the API": 2}}}
	if got, want := heading(used, time.Now()), "\nPauses      after 15m without use; now in use by connections to the API (2), requests of skiff (1)\n"; !strings.Contains(got, want) {
		t.Errorf("no %q in %q", want, got)
	}
	status := daemonapi.ClusterStatus{Upgrade: &daemonapi.Upgrade{Change: "Kubernetes v1.35.8 → v1.36.3"}}
	if got := heading(status, time.Now()); !strings.Contains(got, "\nUpgrade     Kubernetes v1.35.8 → v1.36.3\n") {
		t.Errorf("no upgrade in\n%s", got)
	}
}

func TestHeadingShowsProblems(t *testing.T) {
	status := daemonapi.ClusterStatus{Name: "dev", Phase: "running"}
	if got := heading(status, time.Now()); strings.Contains(got, "Problem") {
		t.Errorf("a problem without one:\n%s", got)
	}
	status.Problems = []string{"The database is full: run \"skiff etcd defrag\"."}
	if got := heading(status, time.Now()); !strings.Contains(got, "\nProblem     The database is full: run \"skiff etcd defrag\".\n") {
		t.Errorf("not a line of its own:\n%s", got)
	}
	status.Problems, status.Notes = nil, []string{"Metrics: ServiceMonitor shop/web: endpoint 0: honorLabels ignored."}
	if got := heading(status, time.Now()); strings.Contains(got, "Problem") || !strings.Contains(got, "\nNote        Metrics: ServiceMonitor shop/web: endpoint 0: honorLabels ignored.\n") {
		t.Errorf("a note is a problem, or no line of its own:\n%s", got)
	}
}

func TestKeptMemoryIsShown(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	c := daemonapi.ClusterStatus{Name: "dev", Phase: "stopped", Saved: &daemonapi.Saved{Machines: 3, Time: now.Add(-3 * time.Hour), Bytes: 3 << 29}}
	if got := heading(c, now); !strings.Contains(got, "\nMemory      kept on disk for 3h (1.5Gi): `skiff up dev` continues it\n") {
		t.Errorf("status:\n%s", got)
	}
	if rows := clusterRows([]daemonapi.ClusterStatus{c}); rows[1][1] != "stopped, memory kept" {
		t.Errorf("list: %q", rows)
	}
	for done, want := range map[string]string{
		"stopped":                                "cluster \"dev\" stopped; run `skiff up dev` to start it again",
		"stopped; 24 MiB of memory kept on disk": "cluster \"dev\" stopped in 1.5 s, with 24 MiB of memory kept on disk; run `skiff up dev` to continue it",
		"stopped; powered off without a clean shutdown: worker-1": "cluster \"dev\" stopped; run `skiff up dev` to start it again",
	} {
		if got := stopResult("dev", done, 1500*time.Millisecond); got != want {
			t.Errorf("stop: %q, want %q", got, want)
		}
	}
}
