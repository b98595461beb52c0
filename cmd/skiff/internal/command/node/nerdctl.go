package node

import (
	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/remote"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
)

// Nerdctl returns the command `nerdctl`.
func Nerdctl(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "nerdctl NODE -- ARGS...",
		Short: "Run nerdctl on a node",
		Long:  `Run nerdctl on a node, in the containerd namespace that Kubernetes uses ("k8s.io").`,
		Example: `  # List the containers of a node
  skiff nerdctl worker-1 -- ps

  # Inspect an image
  skiff nerdctl worker-1 -- image inspect busybox

  # Run a container in another containerd namespace
  skiff nerdctl worker-1 -- --namespace default run --rm busybox date`,
		ValidArgsFunction: target.CompleteNode,
	}
	name := target.Flag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		node, command, err := remote.SplitCommand(cmd, args)
		if err != nil {
			return err
		}
		_, n, err := target.Node(cmd.Context(), *name, node)
		if err != nil {
			return err
		}
		return remote.Run(cmd.Context(), s, n, append([]string{"nerdctl", "--namespace", "k8s.io"}, command...))
	}
	return cmd
}
