package registry

import (
	"cmp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/vm/registry/client"
	"github.com/skiff-dev/skiff/vm/registry/registryapi"
)

func newStatus(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show where the registry serves, and how large it is",
		Example: `  # Show the registry
  skiff registry status

  # Print the address for pushes
  skiff registry status -o json | jq -r .address`,
		Args: cli.Arguments(0, 0),
	}
	show(s, cmd, (*client.Client).Status, statusTable)
	return cmd
}

func statusTable(status registryapi.Status) [][]string {
	limit := cli.Bytes(status.LimitBytes)
	return [][]string{
		{"address:", status.Address},
		{"clusters:", cmp.Or(strings.Join(status.Clusters, ", "), "none")},
		{"pushed:", cli.Bytes(status.PushedBytes) + " of " + limit},
		{"cached:", cli.Bytes(status.CachedBytes) + " of " + limit},
	}
}
