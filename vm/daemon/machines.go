package daemon

import (
	"context"
	"fmt"

	"github.com/skiff-dev/skiff/vm/lima"
	"github.com/skiff-dev/skiff/vm/network"
)

// limaMachines are virtual machines on a network in this process.
func limaMachines(ctx context.Context, config MachinesConfig) (Machines, error) {
	virtual, err := lima.New(ctx, lima.Config{
		Dir: config.Cluster.Machines(), Network: config.Cluster.Network(), Cache: config.Cache,
		Image: config.Image.Image, Executable: config.Executable,
	})
	if err != nil {
		return Machines{}, fmt.Errorf("prepare virtual machines: %w", err)
	}
	wire, err := network.New(network.Config{
		Socket: config.Cluster.Network(), Subnet: config.Spec.Network.Nodes, Log: config.Log,
	})
	if err != nil {
		return Machines{}, err
	}
	return Machines{Driver: virtual, Dial: wire.DialContext, Run: wire.Run}, nil
}
