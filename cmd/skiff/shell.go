package main

import "github.com/spf13/cobra"

func (a *app) shell() *cobra.Command {
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
		if len(command) == 0 {
			command = []string{"sh", "-c", "command -v bash >/dev/null && exec bash -l; exec sh -l"}
		}
		return a.run(cmd.Context(), n, command)
	}
	return cmd
}
