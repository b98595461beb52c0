package offline

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/operation"
)

// Check returns what is wrong with spec for the cluster in dir on this host, as
// joined failures with Invalid set; nil if nothing is.
func Check(dir home.Cluster, spec cluster.Spec, host cluster.Host, state cluster.State, known bool) error {
	spec = spec.Settled(state.Spec)
	spec.KubernetesVersion = cmp.Or(spec.KubernetesVersion, state.Spec.KubernetesVersion)
	added := len(cluster.Remember(state.Machines, spec)) - len(state.Machines)
	faults := cluster.Validate(spec, host, added)
	if known {
		faults = append(faults, cluster.Changes(state, spec)...)
	} else if err := CheckOrphaned(dir); err != nil {
		faults = append(faults, fmt.Errorf("%w: restore a good copy, or remove the cluster with \"skiff down %s\"", err, spec.Name))
	}
	var failures []error
	for _, fault := range faults {
		failures = append(failures, operation.Invalid(fault, ""))
	}
	return errors.Join(failures...)
}

// CheckOrphaned returns cluster.ErrDamaged if dir holds a cluster's machines or
// certificates but no state file.
func CheckOrphaned(dir home.Cluster) error {
	presence, err := dir.Presence()
	if err == nil && presence == home.Orphaned {
		err = fmt.Errorf("%w: %s is missing, but machines or certificates are there", cluster.ErrDamaged, dir.State())
	}
	return err
}
