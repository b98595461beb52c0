package forward

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"k8s.io/apimachinery/pkg/types"
)

// File descriptors that are reserved for the rest of the process, and bounds of the
// number of connections, each of which needs two.
const (
	reservedFiles  = 256
	minConnections = 64
	maxConnections = 16384
)

// Config of a Forwarder.
type Config struct {
	// File keeps the ports that listeners got.
	File string
	// Use is called before a connection or a UDP flow is forwarded, and end when it has
	// ended. It may wait. If it fails, nothing is forwarded. It may be nil.
	Use func(ctx context.Context) (end func(), err error)
	// Dial connects to an address in the cluster's network. network is "tcp" or
	// "udp".
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Resolve returns the address of a pod.
	Resolve func(ctx context.Context, namespace, name string) (netip.Addr, error)
	Log     *slog.Logger
}

// Forwarder listens on the host and forwards to a cluster. Its methods may be
// called concurrently.
type Forwarder struct {
	config Config
	shared *shared

	mu      sync.Mutex // guards what follows
	memory  memory
	servers map[string]*server // by ID
	states  map[string]State   // of all wanted listeners, by ID
}

// shared is what all listeners use.
type shared struct {
	use    func(ctx context.Context) (end func(), err error)
	dialer dialer
	flows  flows
	slots  chan struct{} // one for each connection and UDP flow
	log    *slog.Logger
}

// State is the state of a wanted listener.
type State struct {
	Listener
	// Bound is the port that it listens on; 0 if it does not.
	Bound uint16
	// Reason explains why Bound is not the wanted port; empty if it is.
	Reason string
	// Taken is set if another program has the wanted port.
	Taken bool
}

// New returns a Forwarder with the ports that its file remembers. Only a file of a
// newer version is an error.
func New(config Config) (*Forwarder, error) {
	if config.Use == nil {
		config.Use = func(context.Context) (func(), error) { return func() {}, nil }
	}
	remembered, err := readMemory(config.File)
	if errors.Is(err, errNewer) {
		return nil, err
	}
	if err != nil {
		config.Log.Warn("services may get other ports than before", "error", err)
	}
	return &Forwarder{
		config: config, memory: remembered, servers: map[string]*server{}, states: map[string]State{},
		shared: &shared{
			use:    config.Use,
			dialer: dialer{dial: config.Dial, resolve: config.Resolve},
			slots:  make(chan struct{}, connectionLimit(fileLimit())), log: config.Log,
		},
	}, nil
}

// connectionLimit returns how many connections there may be when the process may
// open that many files.
func connectionLimit(files uint64) int {
	if files <= reservedFiles {
		return minConnections
	}
	return int(min(max((files-reservedFiles)/4, minConnections), maxConnections))
}

func fileLimit() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return reservedFiles
	}
	return uint64(limit.Cur)
}

// Own returns the loopback addresses of services, which stay the same.
func (f *Forwarder) Own(cluster string, services []types.NamespacedName) map[types.NamespacedName]netip.Addr {
	f.mu.Lock()
	defer f.mu.Unlock()
	return ownAddresses(cluster, services, f.memory.own())
}

// Apply makes the host listen on wanted, and on nothing else. Listeners that stay
// keep their connections. If complete is set, the ports of other listeners are
// forgotten. Apply returns an error only if it cannot save the ports; all other
// failures are in the states.
func (f *Forwarder) Apply(ctx context.Context, wanted []Listener, own map[types.NamespacedName]netip.Addr, complete bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	ids := map[string]bool{}
	for _, l := range wanted {
		ids[l.ID] = true
	}
	for id, s := range f.servers {
		if !ids[id] {
			s.close()
			delete(f.servers, id)
		}
	}
	before := f.memory.clone()
	f.states = map[string]State{}
	// What listened before comes first, so that a new listener does not take its
	// place.
	ordered := slices.Clone(wanted)
	slices.SortStableFunc(ordered, func(a, b Listener) int { return cmp.Compare(f.rank(a), f.rank(b)) })
	for _, l := range ordered {
		f.states[l.ID] = f.keep(ctx, l)
	}
	if complete {
		maps.DeleteFunc(f.memory.Ports, func(id string, _ choice) bool { return !ids[id] })
		f.memory.setOwn(own)
	}
	if f.memory.equal(before) {
		return nil
	}
	return writeMemory(f.config.File, f.memory)
}

// rank orders listeners by who may take a port first.
func (f *Forwarder) rank(l Listener) int {
	switch {
	case f.servers[l.ID] != nil:
		return 0
	case l.Fixed:
		return 1
	case f.memory.Ports[l.ID].Port != 0:
		return 2
	default:
		return 3
	}
}

// keep makes one listener exist. The caller holds f.mu.
func (f *Forwarder) keep(ctx context.Context, l Listener) State {
	if s := f.servers[l.ID]; s != nil {
		if s.protocol == l.Protocol && s.address == l.Address && s.wanted == l.Port {
			s.setTarget(l.Target)
			return stateOf(l, s.choice)
		}
		s.close()
		delete(f.servers, l.ID)
	}
	bound, chosen := f.listen(ctx, l)
	if bound == nil {
		return stateOf(l, chosen)
	}
	s := &server{
		id: l.ID, protocol: l.Protocol, address: l.Address, wanted: l.Port, choice: chosen,
		shared: f.shared, done: make(chan struct{}),
	}
	s.setTarget(l.Target)
	s.start(ctx, bound)
	f.servers[l.ID] = s
	if !l.Fixed {
		f.memory.Ports[l.ID] = chosen
	}
	return stateOf(l, chosen)
}

func stateOf(l Listener, c choice) State {
	return State{Listener: l, Bound: c.Port, Reason: c.Reason, Taken: c.Taken}
}

// listen binds the first candidate that is free; if there is none, it returns nil and
// the reason. The caller holds f.mu.
func (f *Forwarder) listen(ctx context.Context, l Listener) (io.Closer, choice) {
	remembered := f.memory.Ports[l.ID]
	var chosen choice
	for _, port := range candidates(l.Port, remembered.Port, l.Fixed) {
		bound, got, err := bind(ctx, l.Protocol, netip.AddrPortFrom(l.Address, port))
		switch {
		case err == nil && got == l.Port:
			return bound, choice{Port: got}
		case err == nil && chosen.Reason == "": // the remembered port
			return bound, remembered
		case err == nil:
			chosen.Port = got
			return bound, chosen
		case port == l.Port:
			holder := f.holder(l)
			chosen = choice{Reason: cmp.Or(holder, reason(l, err)), Taken: holder == "" && errors.Is(err, syscall.EADDRINUSE)}
			if !errors.Is(err, syscall.EADDRINUSE) && !errors.Is(err, syscall.EACCES) {
				return nil, chosen // no other port would do
			}
		}
	}
	return nil, chosen
}

// holder explains that another listener of this cluster has the wanted port; empty
// if none has it.
func (f *Forwarder) holder(l Listener) string {
	for _, s := range f.servers {
		if s.protocol == l.Protocol && s.address == l.Address && s.choice.Port == l.Port {
			return fmt.Sprintf("port %d on %s is used by %s", l.Port, l.Address, s.id)
		}
	}
	return ""
}

// States returns the states of the wanted listeners, by ID.
func (f *Forwarder) States() map[string]State {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.states)
}

// Lost closes connections into the given ranges, because their machine has ended.
// A killed machine sends no FIN.
func (f *Forwarder) Lost(ranges []netip.Prefix) { f.shared.flows.end(ranges) }

// Close ends all listeners and their connections.
func (f *Forwarder) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, s := range f.servers {
		s.close()
		delete(f.servers, id)
	}
	clear(f.states)
}

// server is one listener.
type server struct {
	id, protocol string
	address      netip.Addr
	wanted       uint16
	choice       choice
	shared       *shared
	to           atomic.Pointer[Target]
	cancel       context.CancelFunc
	done         chan struct{}
	packets      atomic.Pointer[packetServer]
}

func (s *server) target() Target { return *s.to.Load() }

func (s *server) setTarget(t Target) {
	s.to.Store(&t)
	if p := s.packets.Load(); p != nil {
		p.retarget(t)
	}
}

// start serves in the background until close, or until ctx ends.
func (s *server) start(ctx context.Context, bound io.Closer) {
	ctx, s.cancel = context.WithCancel(ctx)
	go func() {
		defer close(s.done)
		switch b := bound.(type) {
		case net.Listener:
			s.serveTCP(ctx, b)
		case *net.UDPConn:
			s.serveUDP(ctx, b)
		}
	}()
}

// close stops listening, ends connections and waits for both.
func (s *server) close() {
	s.cancel()
	<-s.done
}
