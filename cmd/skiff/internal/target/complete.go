package target

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// CompleteClusters completes the names of the user's clusters.
func CompleteClusters(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	h, err := Home()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	names, err := h.Names()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// CompleteClusterArgument completes a command's only argument, a cluster.
func CompleteClusterArgument(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return CompleteClusters(cmd, args, word)
}

// CompletionTimeout bounds how long pressing Tab may wait for the daemon.
const CompletionTimeout = 2 * time.Second

// CompleteNode completes the nodes of the cluster that the flag of Flag selects.
func CompleteNode(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return CompleteFrom(cmd, nil, NodeNames)
}

// CompleteNodes completes any number of nodes of the cluster that the flag of Flag selects.
func CompleteNodes(cmd *cobra.Command, given []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return CompleteFrom(cmd, given, NodeNames)
}

// CompleteFrom completes names from the status of the cluster that the flag of Flag
// selects, except those that are given.
func CompleteFrom(cmd *cobra.Command, given []string, names func(daemonapi.ClusterStatus) []string) ([]cobra.Completion, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), CompletionTimeout)
	defer cancel()
	_, status, err := Observe(ctx, cmd.Flag("cluster").Value.String())
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	all := slices.DeleteFunc(names(status), func(name string) bool { return slices.Contains(given, name) })
	return all, cobra.ShellCompDirectiveNoFileComp
}
