// Package drivers holds the command `drivers`.
package drivers

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/vm/driver"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/image"
	"github.com/skiff-dev/skiff/vm/lima"
	"github.com/skiff-dev/skiff/vm/sandbox"
)

// driverFacts describe how well a driver works on this host.
type driverFacts struct {
	Name string `json:"name"`
	// State is "ready", "slow" or "unavailable".
	State  string `json:"state"`
	Detail string `json:"detail"`
}

// States of a driver on a host.
const (
	driverReady       = "ready"
	driverSlow        = "slow"
	driverUnavailable = "unavailable"
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
			name, err := bestDriver(facts)
			if err == nil {
				fmt.Fprintln(s.Out, name)
			}
			return err
		case inJSON:
			return s.JSON(facts)
		}
		rows := [][]string{{"DRIVER", "STATE", "DETAIL"}}
		for _, f := range facts {
			rows = append(rows, []string{f.Name, f.State, f.Detail})
		}
		return s.Table(rows)
	}
	return cmd
}

// readDrivers examines each driver.
func readDrivers(ctx context.Context) ([]driverFacts, error) {
	h, err := home.Default()
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
	machines := driverFacts{Name: "lima", State: driverReady}
	accel, err := lima.Probe(ctx, lima.Config{Cache: h.Cache(), Image: node.Image})
	switch {
	case errors.Is(err, driver.ErrUnavailable):
		machines.State, machines.Detail = driverUnavailable, err.Error()
	case err != nil:
		return nil, err
	default:
		machines.Detail = accel.Describe()
		if accel.Emulated() {
			machines.State = driverSlow
		}
	}
	boxes := driverFacts{Name: sandbox.Name, State: driverReady, Detail: "Linux namespaces of this host"}
	if err := sandbox.Available(); err != nil {
		boxes.State, boxes.Detail = driverUnavailable, err.Error()
	}
	return []driverFacts{machines, boxes}, nil
}

// bestDriver returns the first driver that is ready, or else the first slow one.
func bestDriver(facts []driverFacts) (string, error) {
	for _, state := range []string{driverReady, driverSlow} {
		for _, f := range facts {
			if f.State == state {
				return f.Name, nil
			}
		}
	}
	return "", cli.Invalid("run `skiff drivers` to see why", "no driver can run nodes on this host")
}
