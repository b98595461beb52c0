package cluster

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/skiff-dev/skiff/vm/machine"
)

// Origin is the snapshot or the template from which a cluster was made.
type Origin struct {
	// Template is the key of the template that has the snapshot, empty for a snapshot of a
	// cluster of the user.
	Template string `json:"template,omitempty"`
	// Cluster is the name of the cluster in the snapshot, Snapshot that of the snapshot, and
	// Taken when it was made.
	Cluster  string    `json:"cluster"`
	Snapshot string    `json:"snapshot"`
	Taken    time.Time `json:"taken"`
	// Adopting is set until all nodes have been Ready and the cluster's objects no longer
	// name the authorities and tokens of the other cluster.
	Adopting bool `json:"adopting,omitempty"`
	// Shared is set if machines continue with the memory of the other cluster's, until
	// nothing of what is in it identifies or authenticates both clusters.
	Shared bool `json:"shared,omitempty"`
}

// String returns a snapshot as users write it, "dev/before", or "template KEY".
func (o Origin) String() string {
	if o.Template != "" {
		return "template " + o.Template
	}
	return o.Cluster + "/" + o.Snapshot
}

// Other names for users whose snapshot it is: "dev", or "its template".
func (o Origin) Other() string {
	if o.Template != "" {
		return "its template"
	}
	return o.Cluster
}

// Same reports whether both are the same snapshot. One that was removed and made again is
// another.
func (o Origin) Same(other Origin) bool {
	return o.String() == other.String() && o.Taken.Equal(other.Taken)
}

// ParseOrigin reads what String returns.
func ParseOrigin(text string) (Origin, error) {
	name, snapshot, ok := strings.Cut(text, "/")
	if !ok || name == "" || snapshot == "" {
		return Origin{}, fmt.Errorf("invalid snapshot %q: use CLUSTER/SNAPSHOT, as in dev/before", text)
	}
	return Origin{Cluster: name, Snapshot: snapshot}, nil
}

// CloneRequest asks for a cluster that is made from a snapshot.
type CloneRequest struct {
	Origin Origin `json:"origin"`
	// Spec has the machines of the snapshot.
	Spec Spec `json:"spec"`
	// Memory lets the machines continue with the memory in the snapshot.
	Memory bool `json:"memory,omitempty"`
}

// CloneSpec returns what a clone of the cluster is by default: the same without the ports of
// this host, which the other cluster may be using.
func (s State) CloneSpec(name string) Spec {
	spec := s.Spec
	spec.Name, spec.APIPort, spec.Ports = name, 0, nil
	return spec
}

// Clone returns the state of a new cluster that begins with the machines of this one.
func (s State) Clone(spec Spec, origin Origin, now time.Time) State {
	origin.Adopting = true
	s.Machines = slices.Clone(s.Machines)
	for i := range s.Machines {
		s.Machines[i].Cluster = cmp.Or(s.Machines[i].Cluster, s.Spec.Name)
	}
	s.Version, s.Spec, s.Origin, s.Created = StateVersion, spec, &origin, now.UTC()
	return s
}

// Adopting reports whether the cluster was made from a snapshot and has not worked yet.
func (s State) Adopting() bool { return s.Origin != nil && s.Origin.Adopting }

// Shared reports whether the cluster may share credentials with the one in the snapshot.
func (s State) Shared() bool { return s.Origin != nil && s.Origin.Shared }

// Part records that the cluster shares nothing with the one in the snapshot.
func (s *State) Part() {
	if s.Origin != nil {
		origin := *s.Origin
		origin.Shared = false
		s.Origin = &origin
	}
}

// Adopt records that the cluster works and has replaced what was the other's.
func (s *State) Adopt() {
	if s.Origin != nil {
		origin := *s.Origin
		origin.Adopting = false
		s.Origin = &origin
	}
}

// WithoutReload is the version of Kubernetes whose clients read the cluster's authority
// only when they start.
const WithoutReload = "1.35"

// CheckClone returns what of spec contradicts the machines of a snapshot, whose state is then.
func CheckClone(then State, spec Spec) []error {
	var faults []error
	for _, part := range []struct {
		name    string
		was, is any
	}{
		{"driver", then.Spec.Driver, spec.Driver},
		{"kubernetesVersion", then.Spec.KubernetesVersion, spec.KubernetesVersion},
		{"controlPlanes", then.Spec.ControlPlanes, spec.ControlPlanes},
		{"workers", then.Spec.Workers, spec.Workers},
		{"zones", then.Spec.Zones, spec.Zones},
		{"cpus", then.Spec.CPUs, spec.CPUs},
		{"memory", then.Spec.Memory, spec.Memory},
		{"disk", then.Spec.Disk, spec.Disk},
		{"nodes", then.Spec.Nodes, spec.Nodes},
		{"network", then.Spec.Network, spec.Network},
	} {
		if reflect.DeepEqual(part.was, part.is) {
			continue
		}
		if part.name == "nodes" || part.name == "network" {
			faults = append(faults, fmt.Errorf("%s contradicts the snapshot, whose nodes and networks a clone gets", part.name))
			continue
		}
		faults = append(faults, fmt.Errorf("%s: %v contradicts the snapshot, which has %v", part.name, part.is, part.was))
	}
	return faults
}

// PlanClone returns the steps that make a clone with spec and start it.
func PlanClone(then State, origin Origin, spec Spec) []Step {
	observed := Observed{Machines: map[string]machine.State{}, Known: then.Machines, Components: then.Components, Kubelets: then.Kubelets, Adopting: true}
	for _, name := range then.Names() {
		observed.Machines[name] = machine.StateStopped
		if origin.Shared {
			observed.Machines[name] = machine.StateSaved
		}
	}
	return append([]Step{{Action: ActionClone, Reason: "from " + origin.String()}}, Plan(spec, observed)...)
}
