package main

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/vm/image"
)

// versions is what `version -o json` prints.
type versions struct {
	Client     string `json:"client"`
	Commit     string `json:"commit,omitempty"`
	Go         string `json:"go"`
	Platform   string `json:"platform"`
	Kubernetes string `json:"kubernetes"`
	// Image is null if there is no node image beside the program.
	Image *imageVersion `json:"image"`
}

type imageVersion struct {
	Digest     string `json:"digest"`
	Arch       string `json:"arch"`
	Kubernetes string `json:"kubernetes"`
}

func (a *app) version() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Show the versions of Skiff, Kubernetes and the node image",
		Example: `  # Show the versions
  skiff version

  # Print them as JSON
  skiff version -o json`,
		Args: arguments(0, 0),
	}
	asJSON := output(cmd)
	cmd.RunE = func(_ *cobra.Command, _ []string) error {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		v, err := readVersions()
		if err != nil {
			return err
		}
		if inJSON {
			return a.printJSON(v)
		}
		node := "none (run `make image` to build it)"
		if v.Image != nil {
			node = fmt.Sprintf("%s, %s", v.Image.Digest, v.Image.Arch)
		}
		return table(a.stdout, [][]string{
			{"skiff", v.Client + " " + v.Commit},
			{"kubernetes", v.Kubernetes},
			{"node image", node},
			{"built with", v.Go + " for " + v.Platform},
		})
	}
	return cmd
}

func readVersions() (versions, error) {
	v := versions{
		Client: version, Commit: commit, Kubernetes: kubernetes,
		Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	dir, err := imageDir()
	if err != nil {
		return v, err
	}
	node, err := image.Read(dir)
	switch {
	case errors.Is(err, image.ErrNotFound):
	case err != nil:
		return v, err
	default:
		v.Image = &imageVersion{Digest: node.Digest, Arch: node.Arch, Kubernetes: node.Kubernetes}
		if v.Kubernetes == "" {
			v.Kubernetes = node.Kubernetes
		}
	}
	return v, nil
}
