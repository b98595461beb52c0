package fleet

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/kube"
	"github.com/skiff-dev/skiff/vm/machine"
	"github.com/skiff-dev/skiff/vm/offline"
	"github.com/skiff-dev/skiff/vm/snapshot"
)

// statusLimit bounds how long a status takes: an emulated node on a busy host may
// need seconds to answer.
const statusLimit = 8 * time.Second

// Status returns what the cluster looks like now.
func (f *Fleet) Status(ctx context.Context) daemonapi.ClusterStatus {
	ctx, cancel := context.WithTimeout(ctx, statusLimit)
	defer cancel()
	if end, ok := f.standby.Work(); ok {
		defer end()
	}
	state := f.state.current()
	driver, runs := f.Describe()
	status := daemonapi.ClusterStatus{
		Name: state.Spec.Name, Driver: driver, Accelerator: runs,
		Server: cluster.Server(state.Spec.APIPort), Kubernetes: state.Kubernetes,
		Timings: offline.Timings(f.dir), DaemonPID: os.Getpid(), Snapshots: snapshot.Count(f.dir),
	}
	var all sync.WaitGroup
	var registered map[string]kube.Node
	all.Go(func() { registered, status.APIReady = f.registered(ctx) })
	nodes := state.Desired()
	status.Nodes = make([]daemonapi.NodeStatus, len(nodes))
	alarms := make([][]string, len(nodes))
	for i, n := range nodes {
		all.Go(func() { status.Nodes[i], alarms[i] = f.nodeStatus(ctx, n) })
	}
	all.Wait()
	// Several control planes report the same about their database.
	status.Problems = slices.Compact(slices.Sorted(slices.Values(slices.Concat(alarms...))))
	status.Problems = append(status.Problems, expiring(status.Nodes, time.Now())...)
	status.Problems = append(status.Problems, f.parts.failing()...)
	status.Problems = append(status.Problems, f.edge.Problems()...)
	status.Problems = append(status.Problems, f.logProblems()...)
	status.Problems = append(status.Problems, f.machines.networkProblems()...)
	status.Problems = append(status.Problems, diskProblems(f.stalls.reasons(), f.stalls.freeMiB(), string(f.dir))...)
	recorded := f.metrics.Status()
	status.Problems = append(status.Problems, recorded.Problems...)
	status.Notes = append(recorded.Notes, f.cloneNote()...)
	if state.Origin != nil {
		status.Origin = state.Origin.String()
	}
	if recorded.Recording {
		status.Records = &daemonapi.Records{MetricsSeries: recorded.Series}
	}
	for i := range status.Nodes {
		node := registered[status.Nodes[i].Name]
		status.Nodes[i].Ready, status.Nodes[i].Reason, status.Nodes[i].Cordoned = node.Ready, node.Reason, node.Cordoned
		status.Nodes[i].Kubernetes = node.Kubelet
	}
	status.Simulated = countSimulated(registered)
	status.Faults, status.Repairs = f.active.shown(), f.repairs.list()
	status.Scaled, status.Scalings = scaledGroups(state.Spec), f.scaler.journal.list()
	status.Notes = append(status.Notes, f.scaler.notes()...)
	status.Notes = append(status.Notes, imageNotes(state, registered)...)
	for i := range status.Nodes {
		faultsOf(&status.Nodes[i], status.Faults)
	}
	status.Phase = phase(status)
	status.WakesOnUse = status.Phase == "paused" && f.standby.Asleep()
	if pause := state.Spec.Pause; pause.After() > 0 {
		status.Standby = &daemonapi.Standby{After: pause.Idle, Uses: map[string]int{}}
		for kind, n := range f.standby.Uses() {
			status.Standby.Uses[string(kind)] = n
		}
	}
	status.Web, status.WebTLS = f.webURLs()
	status.Tunnel = f.tunnel.Device()
	status.Upgrade = f.upgradeStatus()
	return status
}

// faultsOf adds the faults of a node to its status. If a fault killed the machine, the
// message about its end is left out.
func faultsOf(node *daemonapi.NodeStatus, active []daemonapi.Fault) {
	for _, fault := range active {
		if !slices.Contains(fault.Nodes, node.Name) {
			continue
		}
		node.Faults = append(node.Faults, fmt.Sprintf("%s (%s)", fault.Effect(), fault.ID))
		if fault.Kind == daemonapi.FaultKill {
			node.MachineMessage = ""
		}
	}
}

// registered returns the nodes that Kubernetes knows, and whether its API is
// ready.
func (c *core) registered(ctx context.Context) (map[string]kube.Node, bool) {
	if len(c.machines.in(ctx, c.state.names(), machine.StateRunning)) == 0 || c.api.kube.Ready(ctx) != nil {
		return nil, false
	}
	nodes, err := c.api.kube.Nodes(ctx)
	if err != nil {
		c.log.Debug("cannot list nodes for the status", "error", err)
	}
	return nodes, true
}

// nodeStatus returns the status of a node and its alarms for users.
func (c *core) nodeStatus(ctx context.Context, n cluster.Node) (daemonapi.NodeStatus, []string) {
	node := offline.Node(n)
	state, err := c.machines.driver.State(ctx, n.Name)
	if err != nil {
		node.MachineMessage = err.Error()
		return node, nil
	}
	node.Machine = string(state)
	node.MachineMessage = c.machines.endedReason(n.Name)
	if usage, err := c.machines.driver.Usage(ctx, n.Name); err == nil {
		node.HostMemoryMiB, node.DiskUsedBytes, node.Started = usage.MemoryMiB, usage.DiskBytes, usage.Started
		node.HostCPUSeconds = usage.CPU.Seconds()
	}
	if state != machine.StateStopped && state != machine.StateAbsent {
		node.Image = c.machines.startedImage(n.Name)
	}
	if state != machine.StateRunning {
		return node, nil
	}
	said, err := c.nodes.client(n).Status(ctx)
	node.Agent = err == nil
	node.Certificates = said.Certificates
	return node, said.Alarms
}

// expiring returns one line for users for each node with a certificate that
// should have been renewed long ago.
func expiring(nodes []daemonapi.NodeStatus, now time.Time) []string {
	var lines []string
	for _, n := range nodes {
		if len(n.Certificates) == 0 || n.Certificates[0].Expires.Sub(now) > daemonapi.CertificateSoon {
			continue
		}
		first := n.Certificates[0]
		lines = append(lines, fmt.Sprintf("The certificate %s of %s expires on %s and was not renewed: run \"skiff node restart %s\".",
			first.Name, n.Name, first.Expires.UTC().Format(time.DateOnly), n.Name))
	}
	return lines
}

// phase summarizes a status in one word.
func phase(status daemonapi.ClusterStatus) string {
	running := func(n daemonapi.NodeStatus) bool { return n.Machine == string(machine.StateRunning) }
	healthy := func(n daemonapi.NodeStatus) bool { return running(n) && n.Ready == "True" }
	paused := func(n daemonapi.NodeStatus) bool { return n.Machine == string(machine.StatePaused) }
	switch {
	case len(status.Faults) > 0 && !slices.ContainsFunc(status.Nodes, running):
		return "degraded" // only until a fault ends
	case slices.ContainsFunc(status.Nodes, paused) && !slices.ContainsFunc(status.Nodes, running):
		return "paused"
	case !slices.ContainsFunc(status.Nodes, running):
		return "stopped"
	case status.APIReady && !slices.ContainsFunc(status.Nodes, func(n daemonapi.NodeStatus) bool { return !healthy(n) }):
		return "running"
	default:
		return "degraded"
	}
}
