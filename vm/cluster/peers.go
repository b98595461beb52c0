package cluster

import (
	"fmt"
	"slices"
)

const (
	// AllPeers as an entry of Spec.Peers are all clusters of the user.
	AllPeers = "all"
	// InternalZone is the domain of names that only machines know.
	InternalZone = "skiff.internal"
	// InternalPort is the port of the API at its name in InternalZone.
	InternalPort = 6443
)

// InternalName returns the name by which machines of other clusters reach a cluster's
// API.
func InternalName(name string) string { return "api." + name + "." + InternalZone }

// Admits reports whether machines of another cluster may reach spec's API and load
// balancers.
func Admits(spec Spec, other string) bool {
	return slices.Contains(spec.Peers, AllPeers) || slices.Contains(spec.Peers, other)
}

// validatePeers returns what is wrong with the list of other clusters.
func validatePeers(spec Spec) []error {
	var faults []error
	for _, name := range spec.Peers {
		if len(name) > 40 || !label.MatchString(name) {
			faults = append(faults, fmt.Errorf("invalid entry %q of peers: use the name of a cluster, or %s", name, AllPeers))
		}
	}
	return faults
}
