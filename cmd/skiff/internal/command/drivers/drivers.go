// Package drivers holds the command `drivers`.
package drivers

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/vm/drivers"
	"github.com/skiff-dev/skiff/vm/image"
)

// New returns the command `drivers`.
func New(s cli.Streams) *cobra.Command {
	var best bool
	cmd := &cobra.Command{
		Use:   "drivers",
		Short: "Show which drivers can run nodes on this host",
		Long: `Show which drivers can run nodes on this host: "lima" boots virtual machines, "sandbox"
uses Linux namespaces on the host itself. If KVM is present, it is tested by booting a
kernel.`,
		Example: `  # Show all drivers
  skiff drivers

  # Use the fastest available driver
  skiff up --driver "$(skiff drivers --best)"`,
		Args: cli.Arguments(0, 0),
	}
	asJSON := cli.Output(cmd)
	cmd.Flags().BoolVar(&best, "best", false, "print only the name of the fastest driver, preferring virtual machines")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		facts, err := readDrivers(cmd.Context())
		if err != nil {
			return err
		}
		switch {
		case best:
			name := drivers.Best(facts)
			if name == "" {
				return cli.Invalid("run `skiff drivers` to see why", "no driver can run nodes on this host")
			}
			fmt.Fprintln(s.Out, name)
			return nil
		case inJSON:
			return s.JSON(facts)
		}
		rows := [][]string{{"DRIVER", "STATE", "DETAIL"}}
		for _, f := range facts {
			rows = append(rows, []string{f.Name, string(f.State), f.Detail})
		}
		if err := s.Table(rows); err != nil {
			return err
		}
		for _, f := range facts {
			if f.Warning != "" {
				fmt.Fprintf(s.Out, "\n%s: %s\n", f.Name, f.Warning)
			}
		}
		return nil
	}
	return cmd
}

// readDrivers examines each driver.
func readDrivers(ctx context.Context) ([]drivers.Facts, error) {
	h, err := target.Home()
	if err != nil {
		return nil, err
	}
	dir, err := target.ImageDir()
	if err != nil {
		return nil, err
	}
	node, err := image.Read(dir)
	if err != nil {
		return nil, cli.Invalid("build it with `make image`", "%s", err)
	}
	return drivers.Probe(ctx, node, h.Cache())
}
