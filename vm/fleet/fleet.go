// Package fleet is an open cluster: it runs the machines and their network, and
// carries out plans, key rotation, certificate renewal, pauses and shutdowns. At
// most one of these changes runs at a time; package daemon sees to that.
package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/skiff-dev/skiff/internal/kubenames"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/credentials"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/drivers"
	"github.com/skiff-dev/skiff/vm/edge"
	"github.com/skiff-dev/skiff/vm/edge/web"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/network/resolver"
	"github.com/skiff-dev/skiff/vm/node"
	"github.com/skiff-dev/skiff/vm/operation"
	"github.com/skiff-dev/skiff/vm/peers"
	"github.com/skiff-dev/skiff/vm/records/metrics"
	"github.com/skiff-dev/skiff/vm/registry/client"
	"github.com/skiff-dev/skiff/vm/standby"
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
	// Standby is what uses the cluster; nil if it never falls asleep.
	Standby *standby.Gate
	// Logs is the command that keeps logs, the program first; nil to keep none.
	Logs   []string
	Limits Limits
	Log    *slog.Logger
}

// Limits bound the phases of a change. Boot is shared by all attempts to boot a
// machine. PowerOff is five times as long for emulated machines. Settled is how long a
// program with new settings must have been ready: a control plane that has just become
// ready starts its controllers and scheduler.
type Limits struct {
	Boot, ControlPlane, Join, Ready, Drain, PowerOff, Settled time.Duration
	// Repair replaces the time in the spec for which nodes must be unhealthy until they are
	// repaired, unless the spec turns repairs off; 0 keeps that of the spec.
	Repair time.Duration
	// Scale replaces the time in the spec for which nodes must not have been needed until they
	// are removed; 0 keeps that of the spec.
	Scale time.Duration
	// Idle replaces the time in the spec for which nobody must have used the cluster until
	// it is paused, unless the spec turns that off; 0 keeps that of the spec.
	Idle time.Duration
	// Noticed replaces the time in which all programs notice other authorities, which is
	// minutes; 0 keeps that.
	Noticed time.Duration
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
		{&l.Settled, 3 * time.Second},
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
	faults   *faults
	repairs  *journal[daemonapi.Repair]
	scaler   *scaler
	cloud    *provider
	registry *registryUser // nil if nodes pull directly
	edge     *edge.Edge
	web      *web.Server
	tunnel   *tunnel.Follower
	logs     *logs // nil if no logs are kept
	metrics  *metrics.Recorder
	parts    *parts

	rotating sync.Mutex // held while authorities are replaced
}

// core is what every change of the cluster works with.
type core struct {
	dir         home.Cluster
	log         *slog.Logger
	limits      Limits
	state       *store
	images      *images
	credentials *credentials.Store
	machines    *machines
	documents   *documents
	nodes       *nodes
	api         *apiServers
	active      *activeFaults
	standby     *standby.Gate
}

// emulated reports whether a machine of the cluster may have no hypervisor.
func (c *core) emulated() bool {
	return c.machines.emulated || cluster.ForeignArch(c.state.spec()) != ""
}

// Open opens spec's cluster: it writes the state and the certificates, and opens
// the driver, the network and the API load balancer. It starts no machine. Close
// ends the Fleet, not ctx.
func Open(ctx context.Context, config Config, spec cluster.Spec) (f *Fleet, err error) {
	now := time.Now()
	state, err := openStore(config.Dir, now)
	if err != nil {
		return nil, err
	}
	spec.KubernetesVersion = cmp.Or(spec.KubernetesVersion, state.spec().KubernetesVersion)
	kept, err := openImages(config, state.current(), spec)
	if err != nil {
		return nil, err
	}
	img, err := kept.get(state.current(), kept.own(), cluster.Node{})
	if err != nil {
		return nil, err
	}
	if state.current().Upgrade == nil {
		spec.KubernetesVersion = img.Minor
	}
	if err := kept.checkRuntimes(spec); err != nil {
		return nil, err
	}
	names, err := kubenames.Read(spec.KubernetesVersion)
	if err != nil {
		return nil, operation.Invalid(err, "")
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
		s.Components, s.Trial, s.TrialKubelets = s.FirstComponents(spec, names), nil, nil
		if s.Upgrade == nil {
			s.Image, s.ForeignImage = img.Digest, kept.own().Foreign
		}
		s.Want(spec)
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
		state: state, images: kept, credentials: creds, active: &activeFaults{}, standby: cmp.Or(config.Standby, standby.New()),
	}
	f.machines = newMachines(opened, f.active, f.parts, config.Log)
	f.documents = &documents{images: kept, state: state, credentials: creds, search: resolver.NewSearch(""), emulated: opened.Emulated, folderTag: opened.FolderTag}
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
	f.nodes = newNodes(f.core)
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
	f.faults, f.repairs = newFaults(f), openRepairs(f.dir.Repairs())
	f.scaler = newScaler(f.dir.Scalings())
	if err := f.faults.forget(); err != nil {
		return err
	}
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
	f.parts.keep("the API for the process of logs", f.api.serveOwn)
	f.parts.keep("the check of control planes", f.api.follow)
	f.parts.keep("certificate renewal", f.renewals.run)
	f.parts.keep("the end of rotations", f.endRotations)
	f.parts.keep("the check of clocks", f.nodes.keepClocks)
	f.parts.keep("the watch of the host's settings", f.settings.run)
	f.parts.keep("the proxy of pods", f.podProxy.run)
	f.parts.keep("the authorities for pods", f.trusted.run)
	f.parts.keep("the check for stalled machines", f.stalls.run)
	f.parts.keep("the end of faults", f.faults.run)
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

// Within returns a context that also ends when the cluster is closed.
func (f *Fleet) Within(ctx context.Context) (context.Context, context.CancelFunc) {
	return f.parts.within(ctx)
}

// Spec returns the desired cluster.
func (f *Fleet) Spec() cluster.Spec { return f.state.spec() }

// SetSpec changes the desired cluster. Its API port and its version of Kubernetes stay
// what they are.
func (f *Fleet) SetSpec(spec cluster.Spec) error {
	foreign, err := f.images.addForeign(f.state.current(), spec)
	if err != nil {
		return err
	}
	err = f.state.change(func(state *cluster.State) {
		if state.Upgrade == nil {
			state.ForeignImage = foreign
		}
		spec.APIPort, spec.KubernetesVersion = state.Spec.APIPort, state.Spec.KubernetesVersion
		state.Want(spec)
	})
	return errors.Join(err, f.specChanged())
}

// specChanged makes all parts follow the desired cluster.
func (f *Fleet) specChanged() error {
	err := f.machines.openHost(f.state.spec())
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
	f.standby.Notice()
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
