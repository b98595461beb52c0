package cluster

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
)

// Architectures are those that node images exist for, by Go's names.
func Architectures() []string { return []string{"amd64", "arm64"} }

// Foreign returns the architecture of the group's machines if it is not the one of this
// host, and "" otherwise.
func (g Group) Foreign() string {
	if g.Arch == runtime.GOARCH {
		return ""
	}
	return g.Arch
}

// ForeignArch returns the architecture, other than this host's, of machines of spec; "" if
// there are none.
func ForeignArch(spec Spec) string {
	for _, g := range spec.Nodes {
		if arch := g.Foreign(); arch != "" {
			return arch
		}
	}
	return ""
}

// validateArch returns what is wrong with the architecture of a group.
func (g Group) validateArch(driver string, host Host) []error {
	switch {
	case g.Arch != "" && !slices.Contains(Architectures(), g.Arch):
		return []error{fmt.Errorf("invalid arch %q: use %s", g.Arch, strings.Join(Architectures(), " or "))}
	case g.Foreign() == "" || host.Emulates == nil:
		return nil
	}
	if err := host.Emulates(driver); err != nil {
		return []error{fmt.Errorf("arch cannot be %s on this %s host: %w", g.Arch, runtime.GOARCH, err)}
	}
	return nil
}

// changesOfArch returns an error for each group whose machines would change their
// architecture. nodes are those of the wanted cluster.
func changesOfArch(state State, nodes []Node) []error {
	var faults []error
	seen := map[string]bool{}
	for _, n := range nodes {
		m, known := state.Machine(n.Name)
		if !known || m.Arch == n.Arch || seen[n.Group] {
			continue
		}
		seen[n.Group] = true
		faults = append(faults, fmt.Errorf("nodes: group %s: arch cannot change while it has nodes: use another group, or remove the nodes first", n.Group))
	}
	return faults
}

// CheckForeign returns an error if a cluster that is being upgraded would get machines of
// another architecture than those that it has.
func CheckForeign(state State, wanted Spec) error {
	arch := ForeignArch(wanted)
	if arch == "" || state.Upgrade == nil || state.Upgrade.To.Foreign != "" && state.Upgrade.From.Foreign != "" {
		return nil
	}
	return fmt.Errorf("nodes of %s cannot be added before the upgrade from Kubernetes %s to %s is finished: run \"skiff upgrade %s\" first",
		arch, state.Upgrade.From.Kubernetes, state.Upgrade.To.Kubernetes, state.Spec.Name)
}
