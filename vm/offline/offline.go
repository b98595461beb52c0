// Package offline does what needs no daemon: it reads a cluster's files. Only
// EndStray and Sweep change anything, and their caller holds the cluster's lock.
package offline

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/credentials"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/driver/saved"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/machine"
	"github.com/skiff-dev/skiff/vm/operation"
	"github.com/skiff-dev/skiff/vm/restore"
	"github.com/skiff-dev/skiff/vm/snapshot"
)

// Status returns the status of a stopped cluster. The error wraps fs.ErrNotExist
// if there is no cluster.
func Status(dir home.Cluster) (daemonapi.ClusterStatus, error) {
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
		Server: cluster.Server(state.Spec.APIPort), Kubernetes: state.Kubernetes, Timings: Timings(dir),
		Saved: savedMemory(dir, state), Snapshots: snapshot.Count(dir),
	}
	if state.Origin != nil {
		status.Origin = state.Origin.String()
		status.Notes = append(status.Notes, SharedNotes(state)...)
	}
	if snapshot.Pending(dir) {
		status.Problems = []string{"The restore of a snapshot was interrupted: run \"skiff up\" to finish or undo it."}
	}
	machines := Observe(dir, state).Machines
	for _, n := range state.Desired() {
		node := Node(n)
		node.Machine = string(machines[n.Name])
		status.Nodes = append(status.Nodes, node)
	}
	return status, nil
}

// savedMemory describes the memory of all machines that is on disk; nil if there is none.
func savedMemory(dir home.Cluster, state cluster.State) *daemonapi.Saved {
	var all daemonapi.Saved
	for _, name := range state.Names() {
		described, err := saved.Describe(filepath.Join(dir.Machines(), name))
		if err != nil {
			continue
		}
		all.Machines++
		all.Bytes += described.Bytes
		if all.Time.Before(described.Time) {
			all.Time = described.Time
		}
	}
	if all.Machines == 0 {
		return nil
	}
	return &all
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

// Node returns the part of a node's status that follows from the spec.
func Node(n cluster.Node) daemonapi.NodeStatus {
	return daemonapi.NodeStatus{
		Zone: n.Zone, Arch: n.Arch,
		Name: n.Name, Role: string(n.Role), Address: n.Address.Addr().String(),
		Machine: string(machine.StateAbsent), Group: n.Group, CPUs: n.Size.CPUs, MemoryMiB: n.Size.MemoryMiB, DiskMiB: n.Size.DiskMiB,
	}
}

// Observe returns the observed state of a stopped cluster. The zero state is one
// that does not exist.
func Observe(dir home.Cluster, state cluster.State) cluster.Observed {
	_, err := os.Stat(dir.PKI())
	observed := cluster.Observed{Prepared: err == nil, Restoring: restore.Pending(dir.Restore()), Machines: map[string]machine.State{}, Known: state.Machines, Upgrade: state.Upgrade, Components: state.Components, Kubelets: state.Kubelets, Sizes: map[string]cluster.Size{}, Adopting: state.Adopting()}
	for _, name := range state.Names() {
		folder := filepath.Join(dir.Machines(), name)
		observed.Machines[name] = machine.StateAbsent
		if _, err := os.Stat(folder); err == nil {
			observed.Machines[name] = machine.StateStopped
		}
		if described, err := saved.Describe(folder); err == nil {
			observed.Machines[name] = machine.StateSaved
			if described.CPUs > 0 {
				observed.Sizes[name] = cluster.Size{CPUs: described.CPUs, MemoryMiB: described.MemoryMiB}
			}
		}
	}
	return observed
}

// Timings returns how many seconds the phases of the last apply took, nil if
// that is unknown.
func Timings(dir home.Cluster) map[string]float64 { return AllTimings(dir).Phases }

// AllTimings returns how long the last apply took, zero if that is unknown.
func AllTimings(dir home.Cluster) operation.Timings {
	content, err := os.ReadFile(dir.Timings())
	if err != nil {
		return operation.Timings{}
	}
	var timings operation.Timings
	if err := json.Unmarshal(content, &timings); err != nil {
		return operation.Timings{}
	}
	return timings
}

// Kubeconfig returns the administrator's kubeconfig. If the certificate on disk
// is due for renewal, the kubeconfig has a new one, which is not written: that is
// left to the daemon, which holds the cluster's lock.
func Kubeconfig(dir home.Cluster) ([]byte, error) {
	now := time.Now()
	state, set, err := read(dir)
	if err != nil {
		return nil, err
	}
	if set.Stale(now) {
		if set, err = set.Renewed(now); err != nil {
			return nil, err
		}
	}
	if set, err = ahead(state, set, now); err != nil {
		return nil, err
	}
	return set.Kubeconfig(state.Spec)
}

// UserKubeconfig returns a kubeconfig with a new certificate for a user.
func UserKubeconfig(dir home.Cluster, u credentials.User) ([]byte, error) {
	now := time.Now()
	state, set, err := read(dir)
	if err != nil {
		return nil, err
	}
	if set, err = ahead(state, set, now); err != nil {
		return nil, err
	}
	return set.UserKubeconfig(state.Spec, u, now)
}

// ahead returns the credentials for users. Those of a clone that shares the other cluster's
// would be refused in some minutes; its nodes have had the new authorities since they continued.
func ahead(state cluster.State, set credentials.Set, now time.Time) (credentials.Set, error) {
	if !state.Shared() {
		return set, nil
	}
	return set.Ahead(now)
}

func read(dir home.Cluster) (cluster.State, credentials.Set, error) {
	state, err := cluster.ReadState(dir.State())
	if err != nil {
		return state, credentials.Set{}, err
	}
	set, err := credentials.Read(dir.PKI())
	if err != nil {
		return state, set, fmt.Errorf("make a kubeconfig for %s: %w", state.Spec.Name, err)
	}
	return state, set, nil
}
