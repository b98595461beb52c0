package main

import (
	"errors"
	"os"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/imagelist"
)

func (a *app) image() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "image",
		Short: "Load images onto the nodes, and list them",
		Example: `  # Load an image from docker, podman or nerdctl onto every node
  skiff image load app:1

  # List the images on the nodes
  skiff image list`,
		Args: cobra.ArbitraryArgs,
		RunE: group,
	}
	cmd.AddCommand(a.imageLoad(), a.imageList())
	return cmd
}

func (a *app) imageLoad() *cobra.Command {
	var only []string
	cmd := &cobra.Command{
		Use:   "load ARCHIVE|NAME...",
		Short: "Load images onto every node",
		Long: `Load images onto every node of a cluster. An argument is either an archive (an OCI layout
or the format of "docker save", as tar or tar.gz; - reads standard input) or the name of
an image in docker, nerdctl or podman on this host. All archives are checked first: if one
is truncated or built for another architecture, nothing is loaded.`,
		Example: `  # Load images from a container engine on this host
  skiff image load app:1 db:2

  # Load an archive
  skiff image load app.tar

  # Load an archive from standard input
  docker save app:1 | skiff image load -

  # Load onto one node only
  skiff image load app.tar --node worker-1`,
		Args: arguments(1, -1),
	}
	name := a.clusterFlag(cmd)
	asJSON := output(cmd)
	cmd.Flags().StringSliceVar(&only, "node", nil, "load onto this `node` only; may be repeated")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		sources, err := a.openImages(cmd.Context(), args)
		defer func() {
			for _, s := range sources {
				s.close()
			}
		}()
		if err != nil {
			return err
		}
		c, nodes, err := a.nodes(cmd.Context(), *name)
		if err != nil {
			return err
		}
		for _, n := range only {
			if err := checkNode(n, nodes); err != nil {
				return err
			}
		}
		if len(only) > 0 {
			nodes = only
		}
		return a.load(cmd.Context(), c, nodes, sources, inJSON)
	}
	return cmd
}

func (a *app) imageList() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the images on the nodes",
		Example: `  # List the images of the default cluster
  skiff image list

  # Print those of the cluster "ci" as JSON
  skiff image list -c ci -o json`,
		Args: arguments(0, 0),
	}
	name := a.clusterFlag(cmd)
	asJSON := output(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		c, nodes, err := a.nodes(cmd.Context(), *name)
		if err != nil {
			return err
		}
		perNode, err := onEach(nodes, func(node string) ([]imagelist.NodeImage, error) {
			out, err := capture(cmd.Context(), c, node, nil,
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
			return a.printJSON(images)
		}
		rows := [][]string{{"IMAGE", "DIGEST", "SIZE", "NODES"}}
		for _, i := range images {
			on := strings.Join(i.Nodes, ",")
			if len(i.Nodes) == len(nodes) {
				on = "all"
			}
			rows = append(rows, []string{i.Name, shortDigest(i.Digest), i.Size, on})
		}
		return table(a.stdout, rows)
	}
	return cmd
}

func shortDigest(digest string) string {
	const shown = len("sha256:") + 12
	return digest[:min(len(digest), shown)]
}

// onEach does something for all nodes at once; the result has their order.
func onEach[T any](nodes []string, do func(node string) (T, error)) ([]T, error) {
	results, failed := make([]T, len(nodes)), make([]error, len(nodes))
	var wg sync.WaitGroup
	for i, node := range nodes {
		wg.Go(func() {
			results[i], failed[i] = do(node)
		})
	}
	wg.Wait()
	return results, errors.Join(failed...)
}

// imageSource is an image archive on the host that has been checked.
type imageSource struct {
	title string
	path  string
	size  int64
	names []string
	// temporary files are removed by close.
	temporary bool
}

func (s imageSource) close() {
	if s.temporary {
		os.Remove(s.path)
	}
}

// loaded is what `image load -o json` prints for each source.
type loaded struct {
	Source string   `json:"source"`
	Images []string `json:"images"`
	Nodes  []string `json:"nodes"`
	// Seconds until the last node had it.
	Seconds float64 `json:"seconds"`
}
