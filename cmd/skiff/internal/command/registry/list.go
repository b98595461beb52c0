package registry

import (
	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/vm/registry/client"
	"github.com/skiff-dev/skiff/vm/registry/registryapi"
)

func newList(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the images in the registry",
		Long: `List the images that were pushed, and those that were pulled from other registries and
are still complete or partly in the cache.`,
		Example: `  # List the images
  skiff registry list

  # Print them as JSON
  skiff registry list -o json`,
		Args: cli.Arguments(0, 0),
	}
	show(s, cmd, (*client.Client).Images, imageTable)
	return cmd
}

func imageTable(images []registryapi.Image) [][]string {
	rows := [][]string{{"IMAGE", "DIGEST", "KIND"}}
	for _, image := range images {
		rows = append(rows, []string{image.Name, cli.Digest(image.Digest), string(image.Kind)})
	}
	return rows
}
