package daemon

import (
	"context"
	"errors"
	"fmt"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/lima"
	"github.com/skiff-dev/skiff/vm/network"
	"github.com/skiff-dev/skiff/vm/sandbox"
)

// machinesOf is what makes the machines of a driver by its name.
func machinesOf(driver string) func(context.Context, MachinesConfig) (Machines, error) {
	if driver == sandbox.Name {
		return sandboxMachines
	}
	return limaMachines
}

// Available says whether this host can run the machines of spec, of an image for
// arch; driver.ErrUnavailable with what to do if not.
func Available(spec cluster.Spec, arch string) error {
	if spec.Driver == sandbox.Name {
		return sandbox.Available()
	}
	return lima.Available(arch)
}

// sandboxMachines are namespaces of this host on a network in this process.
func sandboxMachines(ctx context.Context, config MachinesConfig) (Machines, error) {
	wire, err := network.New(network.Config{
		Socket: config.Cluster.Network(), Subnet: config.Spec.Network.Nodes,
		Pods: config.Spec.Network.Pods, Log: config.Log,
	})
	if err != nil {
		return Machines{}, err
	}
	boxes, err := sandbox.New(ctx, sandbox.Config{
		Dir: config.Cluster.Machines(), Network: config.Cluster.Network(),
		Address: cluster.HostAddress(config.Spec.Network.Nodes), Image: config.Image.Image,
	})
	if err != nil {
		return Machines{}, fmt.Errorf("prepare sandboxes: %w", errors.Join(err, wire.Close()))
	}
	return Machines{Driver: boxes, Dial: boxes.DialContext, Run: wire.Run}, nil
}

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
		Socket: config.Cluster.Network(), Subnet: config.Spec.Network.Nodes,
		Pods: config.Spec.Network.Pods, Log: config.Log,
	})
	if err != nil {
		return Machines{}, err
	}
	return Machines{Driver: virtual, Dial: wire.DialContext, Run: wire.Run, Emulated: virtual.Emulated()}, nil
}
