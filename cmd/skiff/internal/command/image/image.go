// Package image holds the commands `image build`, `image load` and `image list`.
package image

import (
	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
)

// New returns the command `image`.
func New(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "image",
		Short: "Build images, load them onto the nodes, and list them",
		Example: `  # Build the Dockerfile in this directory onto every node
  skiff image build -t app:1 .

  # Load an image from docker, podman or nerdctl onto every node
  skiff image load app:1

  # List the images on the nodes
  skiff image list`,
		Args: cobra.ArbitraryArgs,
		RunE: cli.Group,
	}
	cmd.AddCommand(newBuild(s), newLoad(s), newList(s))
	return cmd
}
