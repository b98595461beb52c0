// Package edge is the border between a cluster and the host. It follows the
// cluster's services, makes their addresses reachable for the daemon, and lets the
// host answer for them. Nothing listens beyond loopback unless the user asks for it.
package edge

import (
	"context"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	gateways "sigs.k8s.io/gateway-api/pkg/client/clientset/versioned"

	"github.com/skiff-dev/skiff/internal/wakeup"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/edge/catalog"
	"github.com/skiff-dev/skiff/vm/edge/forward"
	"github.com/skiff-dev/skiff/vm/machine"
)

// period is how often the machines' states are read and ports that were taken are
// tried again.
const period = 2 * time.Second

// settleLimit bounds how long after a pause nodes get traffic although they are not Ready:
// in sandboxes, whose clocks did not stand still, kubelets first need to ask their container
// runtimes again.
const settleLimit = 20 * time.Second

// Config of an Edge.
type Config struct {
	// Spec returns the desired cluster.
	Spec func() cluster.Spec
	// Members returns the cluster's nodes, with those that are leaving.
	Members func() []cluster.Node
	// Leaving reports whether a node's machine is about to end, so that connections through
	// it would be lost; nil if no machine ever is.
	Leaving func(name string) bool
	// State returns the state of a node's machine.
	State func(ctx context.Context, name string) machine.State
	// Frozen reports whether the user has paused the cluster. Everything stays as it
	// is then, and connections wait as the machines do.
	Frozen func(context.Context) bool
	// Client watches the API; its requests have no time limit.
	Client kubernetes.Interface
	// Gateways watches the Gateway API in the same way.
	Gateways gateways.Interface
	// Use begins a use of the cluster and waits until it is awake; end ends it.
	Use func(ctx context.Context) (end func(), err error)
	// Dial connects to an address in the cluster's network, SetRoutes makes it
	// reach addresses behind machines.
	Dial      func(ctx context.Context, network, address string) (net.Conn, error)
	SetRoutes func([]machine.Route) error
	// Host are the host's addresses in the machines' subnet.
	Host []netip.Addr
	// Resolve returns the address of a pod.
	Resolve func(ctx context.Context, namespace, name string) (netip.Addr, error)
	// Warn records a warning about a service for its users.
	Warn func(ctx context.Context, service *corev1.Service, reason, message string) error
	// File keeps what must stay the same after a restart.
	File string
	// OwnAddresses is set if the whole of 127.0.0.0/8 is this host.
	OwnAddresses bool
	Log          *slog.Logger
}

// Edge is the border of one cluster. Its methods may be called concurrently.
type Edge struct {
	config  Config
	catalog *catalog.Catalog
	wake    wakeup.Signal

	mu        sync.Mutex         // guards what follows
	forwarder *forward.Forwarder // nil while Run is not running
	asked     uint64             // how often Sync was called
	done      uint64             // asked, before the last round that has ended
	round     chan struct{}      // closed when a round ends
}

// New returns an Edge that does nothing until Run is called.
func New(config Config) *Edge {
	return &Edge{config: config, catalog: catalog.New(config.Client, config.Gateways, config.Log), wake: wakeup.New(), round: make(chan struct{})}
}

// Catalog returns the copy of the cluster's services.
func (e *Edge) Catalog() *catalog.Catalog { return e.catalog }

// Wake makes changes of the desired cluster, and a pause or its end, take effect at
// once.
func (e *Edge) Wake() {
	e.wake.Send()
}

// Sync is like Wake, and returns once the changes have taken effect.
func (e *Edge) Sync(ctx context.Context) error {
	e.mu.Lock()
	e.asked++
	mine := e.asked
	e.mu.Unlock()
	e.Wake()
	for {
		e.mu.Lock()
		done, round := e.done, e.round
		e.mu.Unlock()
		if done >= mine {
			return nil
		}
		select {
		case <-round:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// begin and end surround a round.
func (e *Edge) begin() (asked uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.asked
}

func (e *Edge) end(asked uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.done = asked
	close(e.round)
	e.round = make(chan struct{})
}

// Run follows the cluster until ctx ends; then it ends all listeners and
// connections and returns nil.
func (e *Edge) Run(ctx context.Context) error {
	forwarder, err := forward.New(forward.Config{
		File: e.config.File, Use: e.config.Use, Dial: e.config.Dial, Resolve: e.config.Resolve, Log: e.config.Log,
	})
	if err != nil {
		return err
	}
	e.setForwarder(forwarder)
	defer e.setForwarder(nil)
	defer forwarder.Close()
	ctx, cancel := context.WithCancel(ctx)
	var following sync.WaitGroup
	defer following.Wait()
	defer cancel()
	following.Go(func() { _ = e.catalog.Run(ctx) })
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	r := &rounds{Edge: e, forwarder: forwarder, warned: map[types.UID]map[string]bool{}}
	for {
		snapshot, changed := e.catalog.Watch()
		asked := e.begin()
		if e.config.Frozen(ctx) {
			e.catalog.Pause()
			r.settles = time.Now().Add(settleLimit)
		} else {
			e.catalog.Resume()
			if err := r.reconcile(ctx, snapshot); err != nil {
				return err
			}
		}
		e.end(asked)
		select {
		case <-changed:
		case <-e.wake:
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (e *Edge) setForwarder(f *forward.Forwarder) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.forwarder = f
}

// rounds is what one Run remembers between its rounds.
type rounds struct {
	*Edge
	forwarder *forward.Forwarder
	routes    []machine.Route
	via       netip.Addr
	reach     map[string][]netip.Prefix     // addresses on and behind running machines, by name
	warned    map[types.UID]map[string]bool // messages, by service
	usable    []forward.Node                // that traffic goes to
	settles   time.Time                     // until when nodes may need after a pause
}

// reconcile updates routes and listeners to match the cluster. It returns an error
// only if the ports cannot be saved.
func (r *rounds) reconcile(ctx context.Context, snapshot *catalog.Snapshot) error {
	v := r.look(ctx, snapshot)
	r.endLost(v)
	if time.Now().Before(r.settles) && !v.settled(r.usable) {
		return nil // as it was before the pause
	}
	r.usable = v.usable()
	routes, via := v.routes(r.via)
	if !slices.Equal(routes, r.routes) {
		if err := r.config.SetRoutes(routes); err != nil {
			r.config.Log.Warn("cannot set the routes to the cluster", "error", err)
			routes = nil // try again
		}
		r.routes, r.via = routes, via
	}
	spec := r.config.Spec()
	ports, _ := cluster.ParsePorts(spec.Ports) // checked before
	in := forward.Input{Snapshot: snapshot, Nodes: v.usable(), Host: r.config.Host, Ports: ports, NodePorts: spec.NodePorts}
	if r.config.OwnAddresses {
		in.Own = r.forwarder.Own(spec.Name, balancers(snapshot))
	}
	if err := r.forwarder.Apply(ctx, forward.Plan(in), in.Own, snapshot.Synced); err != nil {
		return err
	}
	r.warn(ctx, snapshot)
	return nil
}

// balancers returns the names of the load balancers.
func balancers(snapshot *catalog.Snapshot) []types.NamespacedName {
	var names []types.NamespacedName
	for _, service := range snapshot.Services {
		if forward.Reachable(service) {
			names = append(names, catalog.NameOf(service))
		}
	}
	return names
}

func (r *rounds) look(ctx context.Context, snapshot *catalog.Snapshot) view {
	v := view{snapshot: snapshot, network: r.config.Spec().Network, members: r.config.Members(), states: map[string]machine.State{}, leaving: map[string]bool{}}
	for _, n := range v.members {
		v.leaving[n.Name] = r.config.Leaving != nil && r.config.Leaving(n.Name)
		v.states[n.Name] = r.config.State(ctx, n.Name)
	}
	return v
}

// endLost closes connections to machines that have ended since the last round, and
// to their pods.
func (r *rounds) endLost(v view) {
	reach := map[string][]netip.Prefix{}
	for _, n := range v.members {
		switch v.states[n.Name] {
		case machine.StateRunning:
			reach[n.Name] = []netip.Prefix{netip.PrefixFrom(n.Address.Addr(), 32)}
			if pods := v.pods(n.Name); pods.IsValid() {
				reach[n.Name] = append(reach[n.Name], pods)
			}
		case machine.StatePaused:
			reach[n.Name] = r.reach[n.Name]
		}
	}
	for name, ranges := range r.reach {
		if reach[name] == nil {
			r.forwarder.Lost(ranges)
		}
	}
	r.reach = reach
}

// warn records on each load balancer that it does not have its own port on this
// host.
func (r *rounds) warn(ctx context.Context, snapshot *catalog.Snapshot) {
	states := r.forwarder.States()
	present := map[types.UID]bool{}
	for _, service := range snapshot.Services {
		present[service.UID] = true
		for _, port := range service.Spec.Ports {
			state, ok := states[forward.ServiceID(service, port, false)]
			if !ok || state.Reason == "" || r.warned[service.UID][message(state)] {
				continue
			}
			if err := r.config.Warn(ctx, service, "HostPort", message(state)); err != nil {
				r.config.Log.Debug("cannot record an event", "service", service.Name, "error", err)
				continue
			}
			if r.warned[service.UID] == nil {
				r.warned[service.UID] = map[string]bool{}
			}
			r.warned[service.UID][message(state)] = true
		}
	}
	maps.DeleteFunc(r.warned, func(uid types.UID, _ map[string]bool) bool { return !present[uid] })
}
