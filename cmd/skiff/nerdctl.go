package main

import "github.com/spf13/cobra"

func (a *app) nerdctl() *cobra.Command {
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
		ValidArgsFunction: a.completeNode,
	}
	name := a.clusterFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		node, command, err := splitCommand(cmd, args)
		if err != nil {
			return err
		}
		_, n, err := a.node(cmd.Context(), *name, node)
		if err != nil {
			return err
		}
		return a.run(cmd.Context(), n, append([]string{"nerdctl", "--namespace", "k8s.io"}, command...))
	}
	return cmd
}
