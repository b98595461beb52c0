package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/skiff-dev/skiff/controlplane/pki"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/kube"
	"github.com/skiff-dev/skiff/vm/machine"
	"github.com/skiff-dev/skiff/vm/operation"
)

// statusLimit bounds what a status asks: an emulated node on a busy host may
// take seconds to answer.
const statusLimit = 8 * time.Second

// status is what the daemon sees just now.
func (d *daemon) status(ctx context.Context) daemonapi.ClusterStatus {
	d.mu.Lock()
	c := d.cluster
	var doing operation.Kind
	if active := d.active(); active != nil {
		doing = active.Kind()
	}
	d.mu.Unlock()
	busy := doing == operation.KindApply || doing == operation.KindResume
	if c == nil {
		status, err := StoppedStatus(d.dir)
		if err != nil {
			status = Unreadable(d.config.Name, err)
		}
		if busy {
			status.Phase = "starting"
		}
		status.DaemonPID = os.Getpid()
		return status
	}
	status := c.status(ctx)
	if ring, err := c.keychain().files.Keyring(); err == nil && ring.Phase != pki.PhaseSettled && doing != operation.KindRotate {
		status.Problems = append(status.Problems, "The key of secrets at rest is not rotated to the end: run \"skiff secrets rotate\".")
	}
	if busy {
		status.Phase = "starting"
	}
	return status
}

func (c *running) status(ctx context.Context) daemonapi.ClusterStatus {
	ctx, cancel := context.WithTimeout(ctx, statusLimit)
	defer cancel()
	c.mu.Lock()
	state := c.state
	c.mu.Unlock()
	status := daemonapi.ClusterStatus{
		Name: state.Spec.Name, Driver: c.machines.Driver.Name(), Accelerator: c.machines.Driver.Describe(),
		Server: cluster.Server(state.Spec.APIPort), Kubernetes: state.Kubernetes,
		Timings: readTimings(c.dir), DaemonPID: os.Getpid(),
	}
	var all sync.WaitGroup
	var registered map[string]kube.Node
	all.Go(func() {
		if len(c.those(ctx, machine.StateRunning)) == 0 {
			return // nobody is there to answer
		}
		status.APIReady = c.kube.Ready(ctx) == nil
		if status.APIReady {
			registered, _ = c.kube.Nodes(ctx)
		}
	})
	nodes := cluster.Nodes(state.Spec)
	status.Nodes = make([]daemonapi.NodeStatus, len(nodes))
	alarms := make([][]string, len(nodes))
	for i, n := range nodes {
		all.Go(func() { status.Nodes[i], alarms[i] = c.nodeStatus(ctx, state.Spec, n) })
	}
	all.Wait()
	// Several control planes say the same of their database.
	status.Problems = slices.Compact(slices.Sorted(slices.Values(slices.Concat(alarms...))))
	status.Problems = append(status.Problems, ending(status.Nodes, time.Now())...)
	for i := range status.Nodes {
		node := registered[status.Nodes[i].Name]
		status.Nodes[i].Ready, status.Nodes[i].Reason = node.Ready, node.Reason
	}
	status.Phase = phase(status)
	return status
}

// nodeStatus is how a node is, and what it wants the user to know.
func (c *running) nodeStatus(ctx context.Context, spec cluster.Spec, n cluster.Node) (daemonapi.NodeStatus, []string) {
	node := configured(spec, n)
	state, err := c.machines.Driver.State(ctx, n.Name)
	if err != nil {
		node.MachineMessage = err.Error()
		return node, nil
	}
	node.Machine = string(state)
	node.MachineMessage = c.endedReason(n.Name)
	if usage, err := c.machines.Driver.Usage(ctx, n.Name); err == nil {
		node.HostMemoryMiB, node.DiskUsedBytes, node.Started = usage.MemoryMiB, usage.DiskBytes, usage.Started
		node.HostCPUSeconds = usage.CPU.Seconds()
	}
	if state != machine.StateRunning {
		return node, nil
	}
	said, err := c.node(n).Status(ctx)
	node.Agent = err == nil
	node.Certificates = said.Certificates
	return node, said.Alarms
}

// ending says which nodes hold a certificate that should have been renewed long
// ago, and what to do.
func ending(nodes []daemonapi.NodeStatus, now time.Time) []string {
	var lines []string
	for _, n := range nodes {
		if len(n.Certificates) == 0 || n.Certificates[0].Expires.Sub(now) > daemonapi.CertificateSoon {
			continue
		}
		first := n.Certificates[0]
		lines = append(lines, fmt.Sprintf("The certificate %s of %s expires on %s and was not renewed: run \"skiff restart %s\".",
			first.Name, n.Name, first.Expires.UTC().Format(time.DateOnly), n.Name))
	}
	return lines
}

// configured is a node's status as far as its spec says it.
func configured(spec cluster.Spec, n cluster.Node) daemonapi.NodeStatus {
	memory, _ := cluster.MiB(spec.Memory)
	return daemonapi.NodeStatus{
		Name: n.Name, Role: string(n.Role), Address: n.Address.Addr().String(),
		Machine: string(machine.StateAbsent), CPUs: spec.CPUs, MemoryMiB: memory,
	}
}

// phase sums up a status in one word.
func phase(status daemonapi.ClusterStatus) string {
	runs := func(n daemonapi.NodeStatus) bool { return n.Machine == string(machine.StateRunning) }
	fine := func(n daemonapi.NodeStatus) bool { return runs(n) && n.Ready == "True" }
	paused := func(n daemonapi.NodeStatus) bool { return n.Machine == string(machine.StatePaused) }
	switch {
	case slices.ContainsFunc(status.Nodes, paused) && !slices.ContainsFunc(status.Nodes, runs):
		return "paused"
	case !slices.ContainsFunc(status.Nodes, runs):
		return "stopped"
	case status.APIReady && !slices.ContainsFunc(status.Nodes, func(n daemonapi.NodeStatus) bool { return !fine(n) }):
		return "running"
	default:
		return "degraded"
	}
}

// Unreadable returns the status of a cluster whose state could not be read
// because of err.
func Unreadable(name string, err error) daemonapi.ClusterStatus {
	status := daemonapi.ClusterStatus{Name: name, Phase: "damaged"}
	switch {
	case cluster.IsAbsent(err):
		status.Phase = "absent"
		return status
	case errors.Is(err, cluster.ErrNewer):
		status.Phase = "newer"
	}
	status.Problems = []string{err.Error()}
	return status
}

// StoppedStatus is what the files in dir say of a cluster that nothing runs;
// the error is fs.ErrNotExist if there is none.
func StoppedStatus(dir home.Cluster) (daemonapi.ClusterStatus, error) {
	state, err := cluster.ReadState(dir.State())
	if cluster.IsAbsent(err) {
		if orphaned := CheckOrphaned(dir); orphaned != nil {
			err = orphaned
		}
	}
	if err != nil {
		return daemonapi.ClusterStatus{}, err
	}
	status := daemonapi.ClusterStatus{
		Name: state.Spec.Name, Phase: "stopped", Driver: state.Spec.Driver,
		Server: cluster.Server(state.Spec.APIPort), Kubernetes: state.Kubernetes, Timings: readTimings(dir),
	}
	machines := Stopped(dir, state).Machines
	for _, n := range cluster.Nodes(state.Spec) {
		node := configured(state.Spec, n)
		node.Machine = string(machines[n.Name])
		status.Nodes = append(status.Nodes, node)
	}
	return status, nil
}

// Stopped is what is observed of a cluster that nothing runs.
func Stopped(dir home.Cluster, state cluster.State) cluster.Observed {
	_, err := os.Stat(dir.PKI())
	observed := cluster.Observed{Prepared: err == nil, Machines: map[string]machine.State{}}
	for _, name := range state.Nodes {
		observed.Machines[name] = machine.StateAbsent
		if _, err := os.Stat(filepath.Join(dir.Machines(), name)); err == nil {
			observed.Machines[name] = machine.StateStopped
		}
	}
	return observed
}

// Kubeconfig returns the admin's kubeconfig from the files in dir; it changes
// none of them. A certificate past half of its life is replaced by a new one in
// the result.
func Kubeconfig(dir home.Cluster) ([]byte, error) {
	state, keys, err := readKeychain(dir)
	if err != nil {
		return nil, err
	}
	return cluster.Kubeconfig(state.Spec.Name, state.Spec.APIPort, keys.files)
}

// User is whom a kubeconfig is made for.
type User struct {
	Name   string
	Groups []string
	// Lifetime is how long its certificate is valid; it cannot be called back.
	Lifetime time.Duration
}

// UserKubeconfig makes a kubeconfig with a certificate of its own. What the user
// may do is RBAC's to say.
func UserKubeconfig(dir home.Cluster, u User) ([]byte, error) {
	state, keys, err := readKeychain(dir)
	if err != nil {
		return nil, err
	}
	certificate, key, err := pki.Client(keys.files, u.Name, u.Groups, u.Lifetime, time.Now())
	if err != nil {
		return nil, err
	}
	return cluster.Kubeconfig(state.Spec.Name, state.Spec.APIPort, map[string][]byte{
		"ca.crt": keys.files["ca.crt"], "admin.crt": certificate, "admin.key": key,
	})
}

// readKeychain reads what a kubeconfig is made of.
func readKeychain(dir home.Cluster) (cluster.State, keychain, error) {
	state, err := cluster.ReadState(dir.State())
	if err != nil {
		return state, keychain{}, err
	}
	keys, _, err := loadKeychain(dir.PKI(), time.Now())
	return state, keys, err
}

func readTimings(dir home.Cluster) map[string]float64 {
	content, err := os.ReadFile(dir.Timings())
	if err != nil {
		return nil
	}
	var timings operation.Timings
	if err := json.Unmarshal(content, &timings); err != nil {
		return nil
	}
	return timings.Phases
}
