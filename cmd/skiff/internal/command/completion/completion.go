// Package completion holds the command `completion`.
package completion

import (
	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/internal/nearest"
)

// New returns the command `completion`.
func New(s cli.Streams) *cobra.Command {
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
		Args:      cli.Arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch root := cmd.Root(); args[0] {
			case "bash":
				return root.GenBashCompletionV2(s.Out, true)
			case "zsh":
				return root.GenZshCompletion(s.Out)
			case "fish":
				return root.GenFishCompletion(s.Out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(s.Out)
			}
			hint := "use bash, zsh, fish or powershell"
			if meant := nearest.Of(args[0], shells); meant != "" {
				hint = `did you mean "` + meant + `"?`
			}
			return cli.Invalid(hint, "unknown shell %q", args[0])
		},
	}
}
