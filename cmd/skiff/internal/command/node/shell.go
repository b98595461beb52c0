// Package node holds the commands that act on nodes: shell, nerdctl and node.
package node

import (
	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/remote"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
)

// Shell returns the command `shell`.
func Shell(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "shell NODE [-- COMMAND...]",
		Short: "Open a shell on a node, or run a command there",
		Long: `Open a shell on a node as root, or run a command there and exit with its exit code.
It does not use ssh.`,
		Example: `  # Open a shell
  skiff shell control-plane-1

  # Run a command
  skiff shell worker-1 -- cat /proc/meminfo

  # Copy the current directory to a node
  tar c . | skiff shell worker-1 -- tar x -C /var/tmp`,
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
		if len(command) == 0 {
			command = []string{"sh", "-c", "command -v bash >/dev/null && exec bash -l; exec sh -l"}
		}
		return remote.Run(cmd.Context(), s, n, command)
	}
	return cmd
}
