package daemon

import (
	"errors"
	"fmt"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/operation"
)

// Check returns what is wrong with spec for the cluster in dir on this host, as
// joined failures with Invalid set; nil if nothing is.
func Check(dir home.Cluster, spec cluster.Spec, host cluster.Host, state cluster.State, known bool) error {
	wanted := len(cluster.Nodes(spec))
	if known {
		wanted = len(union(state.Nodes, spec)) - len(state.Nodes)
	}
	faults := cluster.Validate(spec, host, wanted)
	if known {
		faults = append(faults, cluster.Changes(state.Spec, spec)...)
	} else if damaged := cluster.Damaged(dir.State()); len(damaged) > 0 {
		faults = append(faults, fmt.Errorf("the cluster's state file was damaged and kept as %s: restore a good copy as %s, or remove the cluster with \"skiff down %s\"", damaged[0], dir.State(), spec.Name))
	}
	var failures []error
	for _, fault := range faults {
		failures = append(failures, operation.Invalid(fault, ""))
	}
	return errors.Join(failures...)
}
