package drivers

import (
	"context"

	"github.com/skiff-dev/skiff/vm/image"
	"github.com/skiff-dev/skiff/vm/lima"
)

func limaEntry() Entry {
	return Entry{
		Name: lima.Name, Summary: "virtual machines",
		Available: lima.Available, Probe: probeLima, Open: openLima, Cleanup: lima.EndStray, NoPause: lima.NoPause(), NoMemory: lima.NoMemory(), NoEmulation: lima.CanEmulate(),
		Unpacker: lima.NewUnpacker,
	}
}

func probeLima(ctx context.Context, node image.Image, cache string) (Facts, error) {
	accel, err := lima.Probe(ctx, lima.Config{Cache: cache, Image: node.Image})
	if err != nil {
		return Facts{}, err
	}
	facts := Facts{State: Ready, Detail: accel.Describe(), Pause: accel.CanPause()}
	if accel.Emulated() {
		facts.State = Slow
	}
	return facts, nil
}

func openLima(ctx context.Context, config Config) (Machines, error) {
	virtual, err := lima.New(ctx, lima.Config{
		Dir: config.Cluster.Machines(), Network: config.Cluster.Network(), Cache: config.Cache,
		Image: config.Image.Image, Executable: config.Executable, Log: config.Log,
	})
	if err != nil {
		return Machines{}, err
	}
	network, err := openNetwork(config)
	if err != nil {
		return Machines{}, err
	}
	return Machines{
		Driver: virtual, Dial: network.DialContext, SetRoutes: network.SetRoutes,
		Listen: network.Listen, ListenAt: network.ListenAt, Local: network.Local, OpenHostPorts: network.OpenHostPorts, OpenProxies: network.OpenProxies, Problems: network.Problems, Run: network.Run,
		Impair: network.Impair, FolderTag: lima.FolderTag, Emulated: virtual.Emulated(),
	}, nil
}
