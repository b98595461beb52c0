// Package fleet is an open cluster: it runs the machines and their network, and
// carries out plans, key rotation, certificate renewal, pauses and shutdowns. At
// most one of these changes runs at a time; package daemon sees to that.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/skiff-dev/skiff/internal/kubenames"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/credentials"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/drivers"
	"github.com/skiff-dev/skiff/vm/edge"
	"github.com/skiff-dev/skiff/vm/edge/web"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/image"
	"github.com/skiff-dev/skiff/vm/network/resolver"
	"github.com/skiff-dev/skiff/vm/node"
	"github.com/skiff-dev/skiff/vm/operation"
	"github.com/skiff-dev/skiff/vm/peers"
	"github.com/skiff-dev/skiff/vm/records/metrics"
	"github.com/skiff-dev/skiff/vm/registry/client"
	"github.com/skiff-dev/skiff/vm/tunnel"
)

// Config of a Fleet.
type Config struct {
	// Dir is the cluster's directory, whose lock the caller holds.
	Dir home.Cluster
	// Cache is the directory for results that can be thrown away.
	Cache string
	// ImageDir holds the node image.
	ImageDir string
	// Executable is this program, run again as QEMU's wrapper.
	Executable string
	// Machines opens the driver and the network.
	Machines func(ctx context.Context, config drivers.Config) (drivers.Machines, error)
	// Registry is the user's registry; nil if nodes pull directly.
	Registry *client.Client
	// Services returns what the host reaches of another cluster of the user; nil if
	// clusters do not reach each other.
	Services func(ctx context.Context, cluster string) (daemonapi.Services, error)
	// Logs is the command that keeps logs, the program first; nil to keep none.
	Logs   []string
	Limits Limits
	Log    *slog.Logger
}

// Limits bound the phases of a change. Boot is shared by all attempts to boot a
// machine. PowerOff is five times as long for emulated machines.
type Limits struct {
	Boot, ControlPlane, Join, Ready, Drain, PowerOff time.Duration
}

// withDefaults allows for emulation on a small and busy host. A guest takes up to
// 40 s to shut down in an orderly way.
func (l Limits) withDefaults() Limits {
	for _, limit := range []struct {
		value     *time.Duration
		otherwise time.Duration
	}{
		{&l.Boot, 6 * time.Minute}, {&l.ControlPlane, 8 * time.Minute},
		{&l.Join, 6 * time.Minute}, {&l.Ready, 8 * time.Minute},
		{&l.Drain, 2 * time.Minute}, {&l.PowerOff, time.Minute},
	} {
		if *limit.value == 0 {
			*limit.value = limit.otherwise
		}
	}
	return l
}

// Fleet is an open cluster. Its methods may be called concurrently, except that
// the caller runs one change at a time.
type Fleet struct {
	core
	renewals *renewals
	settings *hostSettings
	podProxy *podProxy
	trusted  *authorities
	stalls   *stalls
	cloud    *provider
	registry *registryUser // nil if nodes pull directly
	edge     *edge.Edge
	web      *web.Server
	tunnel   *tunnel.Follower
	logs     *logs // nil if no logs are kept
	metrics  *metrics.Recorder
	parts    *parts
}

// core is what every change of the cluster works with.
type core struct {
	dir         home.Cluster
	log         *slog.Logger
	limits      Limits
	state       *store
	credentials *credentials.Store
	machines    *machines
	documents   *documents
	nodes       *nodes
	api         *apiServers
}

// Open opens spec's cluster: it writes the state and the certificates, and opens
// the driver, the network and the API load balancer. It starts no machine. Close
// ends the Fleet, not ctx.
func Open(ctx context.Context, config Config, spec cluster.Spec) (f *Fleet, err error) {
	now := time.Now()
	img, err := image.Read(config.ImageDir)
	if err != nil {
		return nil, operation.Invalid(err, "build it with \"make image\", or set SKIFF_IMAGE_DIR to its directory")
	}
	if err := img.Verify(config.Cache); err != nil {
		return nil, operation.Invalid(err, "build it again with \"make image\", or download it again")
	}
	state, err := openStore(config.Dir, now)
	if err != nil {
		return nil, err
	}
	if spec.APIPort == 0 {
		spec.APIPort = state.spec().APIPort
	}
	listener, err := listen(spec)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = listener.Close()
		}
	}()
	spec.APIPort = listener.Addr().(*net.TCPAddr).Port
	if err := state.change(func(s *cluster.State) {
		s.Components = s.FirstComponents(spec, kubenames.Read())
		s.Spec, s.Image, s.Nodes = spec, img.Digest, cluster.Union(s.Nodes, spec)
	}); err != nil {
		return nil, err
	}
	creds, err := credentials.OpenStore(config.Dir.PKI(), now)
	if err != nil {
		return nil, err
	}
	driver := drivers.Config{
		Cluster: config.Dir, Cache: config.Cache, Spec: spec, Image: img,
		Executable: config.Executable, Log: config.Log,
	}
	reachPeers(&driver, config)
	opened, err := config.Machines(ctx, driver)
	if err != nil {
		return nil, err
	}
	f = &Fleet{parts: newParts(context.WithoutCancel(ctx), config.Log)}
	f.core = core{
		dir: config.Dir, log: config.Log, limits: config.Limits.withDefaults(),
		state: state, credentials: creds, machines: newMachines(opened, f.parts, config.Log),
	}
	f.documents = &documents{image: img, state: state, credentials: creds, search: resolver.NewSearch(""), emulated: opened.Emulated, folderTag: opened.FolderTag}
	if err := f.connect(listener, opened); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if config.Logs != nil {
		f.logs = newLogs(f.core, config.Logs)
		f.parts.keep("the log store", f.logs.run)
	}
	if config.Registry != nil && opened.Listen != nil {
		f.registry = newRegistryUser(f.core, config.Registry, opened.Listen)
		f.parts.keep("the use of the registry", f.registry.use)
		f.parts.keep("the registry for nodes", f.registry.serve)
		f.parts.keep("the announcement of the registry", f.registry.announce)
	}
	return f, nil
}

// reachPeers lets machines reach other clusters of the user, unless their own network
// uses the addresses that stand for these.
func reachPeers(driver *drivers.Config, config Config) {
	network, all := driver.Spec.Network, peers.Range()
	if config.Services == nil || all.Overlaps(network.Nodes) || all.Overlaps(network.Pods) || all.Overlaps(network.Services) {
		return
	}
	driver.PeerRange = all
	driver.Peers = peers.New(peers.Config{Home: config.Dir.Home(), Cluster: driver.Spec.Name, Services: config.Services})
}

// connect creates the clients and starts the parts that serve the cluster.
func (f *Fleet) connect(listener net.Listener, opened drivers.Machines) (err error) {
	if f.nodes, err = newNodes(f.core); err != nil {
		return err
	}
	if f.api, err = newAPIServers(f.core, listener); err != nil {
		return err
	}
	if f.edge, err = newEdge(f.core); err != nil {
		return err
	}
	f.renewals, f.stalls = newRenewals(f.core), &stalls{f.core}
	f.settings, f.podProxy = newHostSettings(f.core, f.renewals), newPodProxy(f.core)
	if f.trusted, err = newAuthorities(f.core); err != nil {
		return err
	}
	if f.cloud, err = newProvider(f.core, opened.Listen); err != nil {
		return err
	}
	if f.web, err = newWeb(f.core, f.edge.Catalog(), f.cloud, opened); err != nil {
		return err
	}
	f.tunnel = newTunnel(f.core)
	if f.metrics, err = newRecorder(f.core, f.edge.Catalog()); err != nil {
		return err
	}
	f.api.balance()
	if opened.Run != nil {
		f.parts.keep("the machines' network", opened.Run)
	}
	if opened.Listen != nil {
		f.parts.keep("the cloud endpoint", f.cloud.serve)
	}
	f.parts.keep("the API load balancer", f.api.serve)
	f.parts.keep("the API at apiAddress", f.api.serveAlso)
	f.parts.keep("the check of control planes", f.api.follow)
	f.parts.keep("certificate renewal", f.renewals.run)
	f.parts.keep("the check of clocks", f.nodes.keepClocks)
	f.parts.keep("the watch of the host's settings", f.settings.run)
	f.parts.keep("the proxy of pods", f.podProxy.run)
	f.parts.keep("the authorities for pods", f.trusted.run)
	f.parts.keep("the check for stalled machines", f.stalls.run)
	f.parts.keep("the forwarding of services", f.edge.Run)
	f.parts.keep("the web entry", f.web.Run)
	f.parts.keep("the tunnel of the host", f.tunnel.Run)
	f.parts.keep("the record of metrics", f.metrics.Run)
	return nil
}

// Close ends the machines at once, then what serves them.
func (f *Fleet) Close() error {
	err := f.machines.driver.Close()
	if f.nodes != nil {
		f.nodes.pool.CloseIdleConnections()
	}
	f.parts.close()
	return err
}

// Spec returns the desired cluster.
func (f *Fleet) Spec() cluster.Spec { return f.state.spec() }

// SetSpec changes the desired cluster. Its API port stays what it is.
func (f *Fleet) SetSpec(spec cluster.Spec) error {
	err := f.state.change(func(state *cluster.State) {
		spec.APIPort = state.Spec.APIPort
		state.Spec, state.Nodes = spec, cluster.Union(state.Nodes, spec)
	})
	err = errors.Join(err, f.machines.openHost(spec))
	f.api.balance()
	f.api.move()
	f.renewals.wake()
	f.podProxy.wake()
	f.trusted.wake()
	if f.registry != nil {
		f.registry.wake()
	}
	if f.logs != nil {
		f.logs.wake()
	}
	f.edge.Wake()
	f.metrics.Wake()
	return err
}

// FollowHost gives running nodes the host's settings if they have changed. A node that
// does not answer is told later.
func (f *Fleet) FollowHost(ctx context.Context) { f.settings.follow(ctx) }

// Describe returns the name of the driver and one line on what runs the machines.
func (f *Fleet) Describe() (name, runs string) {
	return f.machines.driver.Name(), f.machines.driver.Describe()
}

// Paused reports whether one of the named machines, of all if there are no names,
// is paused. Its node then answers nobody, which is no fault, and requests wait in
// its network.
func (f *Fleet) Paused(ctx context.Context, names ...string) bool {
	if len(names) == 0 {
		return f.paused(ctx)
	}
	return len(f.machines.paused(ctx, names)) > 0
}

// HostSlept sets the nodes' clocks and checks certificates, which may have expired,
// after the host slept or its clock was set.
func (f *Fleet) HostSlept(ctx context.Context) {
	f.nodes.setClocks(ctx)
	f.renewals.wake()
}

// Nodes returns the connections to the node APIs.
func (f *Fleet) Nodes() *node.Pool { return f.nodes.pool }

// Address returns the address of a node; false if there is none of that name.
func (f *Fleet) Address(name string) (netip.Addr, bool) {
	n, ok := f.state.find(name)
	return n.Address.Addr(), ok
}

// paused reports whether any machine is paused.
func (c *core) paused(ctx context.Context) bool {
	return len(c.machines.paused(ctx, c.state.names())) > 0
}

// frozen reports whether the user has paused the cluster. A machine that stopped
// because of the host's disk must not keep the others from their routine.
func (c *core) frozen(ctx context.Context) bool {
	return slices.ContainsFunc(c.machines.paused(ctx, c.state.names()), func(name string) bool { return c.machines.stalled(name) == "" })
}

// dial connects to an address in the machines' network.
func (c *core) dial(ctx context.Context, network, address string) (net.Conn, error) {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, fmt.Errorf("dial %q: %w", address, err)
	}
	name := ""
	for _, n := range c.state.members() {
		if n.Address.Addr() == at.Addr() {
			name = n.Name
		}
	}
	return c.machines.connect(ctx, name, network, address)
}
