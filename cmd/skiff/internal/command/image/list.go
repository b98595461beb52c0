package image

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/imagelist"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/remote"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
)

func newList(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the images on the nodes",
		Example: `  # List the images of the default cluster
  skiff image list

  # Print those of the cluster "ci" as JSON
  skiff image list -c ci -o json`,
		Args: cli.Arguments(0, 0),
	}
	name := target.Flag(cmd)
	asJSON := cli.Output(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		c, nodes, err := target.Nodes(cmd.Context(), *name)
		if err != nil {
			return err
		}
		perNode, err := remote.OnEach(nodes, func(node string) ([]imagelist.NodeImage, error) {
			out, err := remote.Capture(cmd.Context(), c, node, nil,
				"nerdctl", "--namespace", "k8s.io", "image", "ls", "--no-trunc", "--format", "{{json .}}")
			if err != nil {
				return nil, err
			}
			return imagelist.Parse(out)
		})
		if err != nil {
			return err
		}
		images := imagelist.Merge(nodes, perNode)
		if inJSON {
			return s.JSON(images)
		}
		rows := [][]string{{"IMAGE", "DIGEST", "SIZE", "NODES"}}
		for _, i := range images {
			on := strings.Join(i.Nodes, ",")
			if len(i.Nodes) == len(nodes) {
				on = "all"
			}
			rows = append(rows, []string{i.Name, cli.Digest(i.Digest), i.Size, on})
		}
		return s.Table(rows)
	}
	return cmd
}
