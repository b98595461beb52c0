package drivers

import (
	"context"
	"errors"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/driver"
	"github.com/skiff-dev/skiff/vm/image"
	"github.com/skiff-dev/skiff/vm/network"
	"github.com/skiff-dev/skiff/vm/network/hostport"
	"github.com/skiff-dev/skiff/vm/sandbox"
)

func sandboxEntry() Entry {
	return Entry{
		Name: sandbox.Name, Summary: "Linux namespaces, needs root",
		Warning:   "sandboxes are not a security boundary: root in a privileged pod is root on the host",
		Available: func(string) error { return sandbox.Available() },
		Probe: func(context.Context, image.Image, string) (Facts, error) {
			return Facts{State: Ready, Detail: "Linux namespaces of this host", Pause: true}, sandbox.Available()
		},
		NoMemory:    errors.New("sandboxes are processes of this host, whose memory cannot be kept"),
		NoEmulation: errors.New("sandboxes share this host's kernel; use the driver lima"),
		Open:        openSandboxes, Cleanup: sandbox.EndStray,
		Unpacker: func(string) driver.Unpacker { return sandbox.Unpacker{} },
	}
}

func openSandboxes(ctx context.Context, config Config) (Machines, error) {
	usermode, err := openNetwork(config)
	if err != nil {
		return Machines{}, err
	}
	boxes, err := sandbox.New(ctx, sandbox.Config{
		Dir: config.Cluster.Machines(), Network: config.Cluster.Network(),
		Address: cluster.HostAddress(config.Spec.Network.Nodes), Image: config.Image.Image, Gateway: network.Gateway(config.Spec.Network.Nodes),
	})
	if err != nil {
		return Machines{}, errors.Join(err, usermode.Close())
	}
	return Machines{
		Driver: boxes, Dial: boxes.DialContext, PutFile: boxes.PutFile, SetRoutes: boxes.SetRoutes,
		Listen: usermode.Listen, ListenAt: usermode.ListenAt, Local: usermode.Local, OpenHostPorts: usermode.OpenHostPorts, OpenProxies: usermode.OpenProxies, Problems: usermode.Problems, Run: usermode.Run,
		Impair: boxes.Impair, SharesHost: true,
	}, nil
}

// openNetwork creates the cluster's user-mode network, in this process.
func openNetwork(config Config) (*network.Network, error) {
	ports, err := hostport.Parse(config.Spec.HostPorts)
	if err != nil {
		return nil, err
	}
	ranges6 := config.Spec.Network.Ranges6()
	return network.New(network.Config{
		Socket: config.Cluster.Network(), Subnet: config.Spec.Network.Nodes, Subnet6: ranges6.Nodes,
		Pods: config.Spec.Network.Pods, Pods6: ranges6.Pods, Egress: network.Egress(config.Spec.Network.Egress),
		HostPorts: ports, Proxies: cluster.LoopbackProxies(config.Spec),
		Peers: config.Peers, PeerRange: config.PeerRange, Log: config.Log,
	})
}
