package cli

import (
	"fmt"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// Scaled describes groups that are autoscaled, one line each.
func Scaled(groups []daemonapi.ScaledGroup) []string {
	var all []string
	for _, g := range groups {
		all = append(all, fmt.Sprintf("%s: %s, %d to %d", g.Group, Count(g.Nodes, "node"), g.Min, g.Max))
	}
	return all
}
