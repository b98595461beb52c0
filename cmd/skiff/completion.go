package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/nearest"
	"github.com/skiff-dev/skiff/vm/home"
)

func (a *app) completion() *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Print a shell completion script",
		Example: `  # Load completions into the current bash session
  source <(skiff completion bash)

  # Install completions for zsh
  skiff completion zsh >"${fpath[1]}/_skiff"

  # Install completions for fish
  skiff completion fish >~/.config/fish/completions/skiff.fish`,
		ValidArgs: shells,
		Args:      arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch root := cmd.Root(); args[0] {
			case "bash":
				return root.GenBashCompletionV2(a.stdout, true)
			case "zsh":
				return root.GenZshCompletion(a.stdout)
			case "fish":
				return root.GenFishCompletion(a.stdout, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(a.stdout)
			}
			hint := "use bash, zsh, fish or powershell"
			if meant := nearest.Of(args[0], shells); meant != "" {
				hint = `did you mean "` + meant + `"?`
			}
			return invalid(hint, "unknown shell %q", args[0])
		},
	}
}

// completeClusters offers the clusters of this user.
func completeClusters(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	h, err := home.Default()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	names, err := h.Names()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func completeClusterArgument(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return completeClusters(cmd, args, word)
}

// completionPatience bounds what a press of Tab may wait for.
const completionPatience = 2 * time.Second

// completeNode offers the nodes of the cluster that -c names or means.
func (a *app) completeNode(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionPatience)
	defer cancel()
	_, status, err := a.observe(ctx, cmd.Flag("cluster").Value.String())
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return nodeNames(status), cobra.ShellCompDirectiveNoFileComp
}
