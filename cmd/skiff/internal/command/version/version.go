// Package version holds the command `version`.
package version

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/build"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
)

// New returns the command `version`.
func New(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Show the versions of Skiff, Kubernetes and the node image",
		Example: `  # Show the versions
  skiff version

  # Print them as JSON
  skiff version -o json

  # List the versions of Kubernetes that a cluster can have
  skiff version --available`,
		Args: cli.Arguments(0, 0),
	}
	available := cmd.Flags().Bool("available", false, "list the versions of Kubernetes, their node images and the architectures of these instead")
	asJSON := cli.Output(cmd)
	cmd.RunE = func(_ *cobra.Command, _ []string) error {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		if *available {
			return list(s, inJSON)
		}
		v, err := build.Read()
		if err != nil {
			return err
		}
		if inJSON {
			return s.JSON(v)
		}
		node := "none (run `make image` to build it)"
		if v.Image != nil {
			node = fmt.Sprintf("%s, %s", v.Image.Digest, v.Image.Arch)
		}
		return s.Table([][]string{
			{"skiff", v.Client + " " + v.Commit},
			{"kubernetes", v.Kubernetes},
			{"node image", node},
			{"built with", v.Go + " for " + v.Platform},
		})
	}
	return cmd
}
