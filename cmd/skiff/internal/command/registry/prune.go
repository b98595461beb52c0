package registry

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/vm/registry/registryapi"
)

// Prune returns the command `prune`.
func Prune(s cli.Streams) *cobra.Command {
	var request registryapi.PruneRequest
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Free disk space: delete images that can be pulled or built again",
		Long: `Delete what the registry keeps of other registries, and the pushed images that have lost
their tag to a newer one. With --all, delete all pushed images, too. Images on the nodes
are not affected.`,
		Example: `  # Show what would be freed
  skiff prune --dry-run

  # Free it
  skiff prune

  # Delete everything that was pushed, too
  skiff prune --all`,
		Args: cli.Arguments(0, 0),
	}
	asJSON := cli.Output(cmd)
	cmd.Flags().BoolVar(&request.DryRun, "dry-run", false, "only show what would be freed")
	cmd.Flags().BoolVar(&request.All, "all", false, "delete all pushed images, too")
	cli.Yes(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		return prune(cmd, s, request, inJSON)
	}
	return cmd
}

func prune(cmd *cobra.Command, s cli.Streams, request registryapi.PruneRequest, asJSON bool) error {
	c, dir, err := connect()
	if err != nil {
		return err
	}
	var result registryapi.Pruned
	if _, err := os.Stat(string(dir)); err == nil {
		// Without users it ends again by itself.
		if _, err := c.Start(cmd.Context()); err != nil {
			return err
		}
		if result, err = c.Prune(cmd.Context(), request); err != nil {
			return explain(err)
		}
	}
	if asJSON {
		return s.JSON(result)
	}
	verb := "freed"
	if request.DryRun {
		verb = "would free"
	}
	fmt.Fprintf(s.Out, "%s %s: %s of pushed images and %s of cached ones\n", verb,
		cli.Bytes(result.PushedBytes+result.CachedBytes), cli.Bytes(result.PushedBytes), cli.Bytes(result.CachedBytes))
	return nil
}
