package offline

import (
	"fmt"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/operation"
	"github.com/skiff-dev/skiff/vm/snapshot"
)

// CheckSnapshots returns a failure if a removal of the cluster would delete snapshots for
// which the user did not ask.
func CheckSnapshots(dir home.Cluster, request daemonapi.DownRequest) error {
	count := snapshot.Count(dir)
	if count == 0 || request.Snapshots {
		return nil
	}
	snapshots := fmt.Sprintf("%d snapshots", count)
	if count == 1 {
		snapshots = "1 snapshot"
	}
	return operation.Invalid(fmt.Errorf("cluster %q has %s", dir.Name(), snapshots), "add --delete-snapshots to delete the cluster with them, or keep both with \"skiff stop\"")
}

// CheckMemory returns an error unless machines of a clone can continue with the memory in the
// snapshot of a cluster, whose state is then.
func CheckMemory(m snapshot.Manifest, then cluster.State) error {
	if !m.Memory() {
		return fmt.Errorf("the snapshot %s does not have the memory of all machines", m.Name)
	}
	if then.Spec.KubernetesVersion == cluster.WithoutReload {
		return fmt.Errorf("a cluster of Kubernetes %s cannot replace its authority while it runs, so its clones have to boot", cluster.WithoutReload)
	}
	return nil
}

// SharedNotes returns one line for users if the cluster may share credentials with that in the
// snapshot.
func SharedNotes(state cluster.State) []string {
	if !state.Shared() {
		return nil
	}
	return []string{fmt.Sprintf("Credentials are still shared with %s, with whose memory machines continued; they are replaced while the cluster runs.", state.Origin.Other())}
}

// CheckCloned returns a failure unless the cluster with the state is one whose making from the
// snapshot was interrupted.
func CheckCloned(state cluster.State, origin cluster.Origin) error {
	if state.Adopting() && state.Origin.String() == origin.String() {
		return nil
	}
	return operation.Invalid(fmt.Errorf("cluster %q already exists", state.Spec.Name), "choose another name, or delete it with \"skiff down\"")
}
