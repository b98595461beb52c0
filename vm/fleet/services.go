package fleet

import (
	"context"
	"net"
	"net/netip"
	"runtime"
	"time"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/edge"
	"github.com/skiff-dev/skiff/vm/edge/forward"
	"github.com/skiff-dev/skiff/vm/edge/web"
	"github.com/skiff-dev/skiff/vm/kube"
	"github.com/skiff-dev/skiff/vm/machine"
	"github.com/skiff-dev/skiff/vm/network"
	"github.com/skiff-dev/skiff/vm/operation"
	"github.com/skiff-dev/skiff/vm/standby"
	"github.com/skiff-dev/skiff/vm/tunnel"
)

// syncPorts bounds how long a change of ports may take.
const syncPorts = 10 * time.Second

// newEdge makes the border between the cluster and the host.
func newEdge(c core) (*edge.Edge, error) {
	config := c.api.watchConfig()
	client, err := kube.NewWatcher(config)
	if err != nil {
		return nil, err
	}
	gateways, err := kube.NewGatewayWatcher(config)
	if err != nil {
		return nil, err
	}
	nodes := c.state.spec().Network.Nodes
	return edge.New(edge.Config{
		Spec: c.state.spec, Members: c.state.members, State: c.machineState, Leaving: c.leaves, Frozen: c.pausedOrAsleep, Client: client, Gateways: gateways,
		Use: c.standby.User(standby.Ports), Dial: c.machines.reach, SetRoutes: c.machines.setRoutes,
		Host:    []netip.Addr{network.Gateway(nodes), cluster.HostAddress(nodes).Addr()},
		Resolve: c.api.kube.PodAddress, Warn: c.api.kube.WarnAbout,
		File: c.dir.Services(), OwnAddresses: runtime.GOOS == "linux", Log: c.log,
	}), nil
}

// leaves reports whether Skiff drains a node, or has, because its machine is about to end.
func (c *core) leaves(name string) bool {
	m, _ := c.state.current().Machine(name)
	return m.Cordoned
}

// machineState returns the state of a machine; StateAbsent if it cannot be read.
func (c *core) machineState(ctx context.Context, name string) machine.State {
	state, err := c.machines.driver.State(ctx, name)
	if err != nil {
		return machine.StateAbsent
	}
	return state
}

// Services returns what the host can reach of the cluster.
func (f *Fleet) Services() daemonapi.Services {
	all := f.edge.Services()
	all.Tunnel = f.tunnel.Device()
	if ports, ok := web.ReadPorts(f.dir.Home()); ok {
		all.Web, all.WebTLS = ports.URLs(f.state.spec().Name)
		all.Names, all.Ingresses, all.HTTPRoutes = f.web.Addresses(ports)
	}
	return all
}

// newTunnel makes the end of the tunnel by which the host reaches the cluster's
// addresses.
func newTunnel(c core) *tunnel.Follower {
	network := c.state.spec().Network
	return tunnel.NewFollower(tunnel.Config{
		Device: tunnel.Name(c.dir), Address: cluster.HostAddress(network.Nodes).Addr(),
		Allows: tunnel.Reaches(network), Dial: c.standby.Dial(standby.Network, standby.DialFunc(c.machines.reach)), Local: c.usedLocally(), Log: c.log,
	})
}

// pausedOrAsleep reports whether the cluster is paused, or about to be because nobody uses
// it.
func (c *core) pausedOrAsleep(ctx context.Context) bool { return c.standby.Asleep() || c.frozen(ctx) }

// usedLocally returns the function that finds services of this process, whose connections
// are uses of the cluster.
func (c *core) usedLocally() func(netip.AddrPort) (func(net.Conn) bool, bool) {
	local := c.machines.network.Local
	if local == nil {
		return nil
	}
	return func(at netip.AddrPort) (func(net.Conn) bool, bool) {
		take, own := local(at)
		if take == nil {
			return nil, own
		}
		return func(conn net.Conn) bool {
			return take(&standby.Conn{Conn: conn, Ended: c.standby.Hold(standby.Network)})
		}, own
	}
}

// ChangePorts opens and closes ports of the host. Nothing changes if one of them
// cannot be opened.
func (f *Fleet) ChangePorts(ctx context.Context, change daemonapi.PortChange) error {
	ports, opened, err := changePorts(f.state.spec().Ports, change)
	if err != nil {
		return operation.Invalid(err, "\"skiff port list\" shows the open ports")
	}
	for _, p := range opened {
		if err := forward.Check(ctx, p); err != nil {
			return operation.Invalid(err, "choose another port")
		}
	}
	if err := f.state.change(func(s *cluster.State) { s.Spec.Ports = ports }); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, syncPorts)
	defer cancel()
	return f.edge.Sync(ctx)
}
