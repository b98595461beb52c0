package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/driver"
	"github.com/skiff-dev/skiff/vm/driver/saved"
	"github.com/skiff-dev/skiff/vm/drivers"
	"github.com/skiff-dev/skiff/vm/machine"
	"github.com/skiff-dev/skiff/vm/network/hostport"
	"github.com/skiff-dev/skiff/vm/node"
)

// machines starts machines, remembers how they ended by themselves, and connects
// to them.
type machines struct {
	driver   driver.Driver
	reach    node.DialFunc
	emulated bool
	parts    *parts
	network  drivers.Machines // its functions that may be nil
	log      *slog.Logger
	issued   issued
	active   *activeFaults

	mu    sync.Mutex              // guards what follows
	ended map[string]string       // how machines ended by themselves, by name, until they start again
	sizes map[string]cluster.Size // with which machines were started, by name
	image map[string]string       // the digests of the node images with which they were
	count int                     // of starts
	last  map[string]int          // the number of the last start, by name
}

func newMachines(opened drivers.Machines, active *activeFaults, parts *parts, log *slog.Logger) *machines {
	return &machines{
		driver: opened.Driver, reach: opened.Dial, network: opened, emulated: opened.Emulated,
		active: active, parts: parts, log: log, ended: map[string]string{}, sizes: map[string]cluster.Size{}, image: map[string]string{}, last: map[string]int{},
	}
}

// setRoutes replaces the routes to addresses behind machines.
func (m *machines) setRoutes(routes []machine.Route) error {
	if m.network.SetRoutes == nil {
		return errors.ErrUnsupported
	}
	return m.network.SetRoutes(routes)
}

// openHost changes what of the host's loopback machines may use.
func (m *machines) openHost(spec cluster.Spec) error {
	if m.network.OpenProxies != nil {
		m.network.OpenProxies(cluster.LoopbackProxies(spec))
	}
	ports, err := hostport.Parse(spec.HostPorts)
	if err == nil && m.network.OpenHostPorts != nil {
		m.network.OpenHostPorts(ports)
	}
	return err
}

// networkProblems returns one line for users for each thing that machines tried in
// vain.
func (m *machines) networkProblems() []string {
	if m.network.Problems == nil {
		return nil
	}
	return m.network.Problems()
}

// start starts a machine and records if it ends by itself.
func (m *machines) start(ctx context.Context, spec machine.Machine) error {
	return m.begin(ctx, spec, m.driver.Start)
}

// wake is start for a saved machine, which continues. The error may be that of
// driver.Saver.
func (m *machines) wake(ctx context.Context, spec machine.Machine) error {
	saver, ok := m.driver.(driver.Saver)
	if !ok {
		return &driver.UnusableError{Reason: "the driver keeps no memory"}
	}
	if described, err := saver.Saved(spec.Name); err == nil && time.Since(described.Time) > saved.MaxAge {
		return &driver.UnusableError{Reason: fmt.Sprintf("it was saved more than %d days ago", saved.MaxAge/(24*time.Hour))}
	}
	return m.begin(ctx, spec, saver.Wake)
}

func (m *machines) begin(ctx context.Context, spec machine.Machine, start func(context.Context, machine.Machine) error) error {
	before, err := m.driver.State(ctx, spec.Name)
	if err == nil {
		err = start(ctx, spec)
	}
	if err != nil {
		return err
	}
	if err := m.issued.seeded(spec.Address.Addr(), spec.Seed); err != nil {
		return err
	}
	m.mu.Lock()
	delete(m.ended, spec.Name)
	if before != machine.StateRunning && before != machine.StatePaused {
		m.image[spec.Name] = spec.Image.Digest
		m.sizes[spec.Name] = cluster.Size{CPUs: spec.CPUs, MemoryMiB: spec.MemoryMiB}
	}
	m.count++
	number := m.count
	m.last[spec.Name] = number
	m.mu.Unlock()
	m.parts.run(func(ctx context.Context) {
		err := m.driver.Wait(ctx, spec.Name)
		if errors.Is(err, driver.ErrNotFound) || ctx.Err() != nil {
			return // stopped by the daemon
		}
		reason := "the node shut itself down"
		if err != nil {
			reason = err.Error()
		}
		m.log.Info("machine ended", "machine", spec.Name, "reason", reason)
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.last[spec.Name] == number { // it may have been started again meanwhile
			m.ended[spec.Name] = reason
		}
	})
	return nil
}

// endedReason returns how a machine ended by itself, empty if it did not.
func (m *machines) endedReason(name string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ended[name]
}

// startedImage returns the digest of the node image with which a machine was last started.
func (m *machines) startedImage(name string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.image[name]
}

// startedSizes returns the sizes with which machines were started that have a process or are
// saved. It may have those of others.
func (m *machines) startedSizes(states map[string]machine.State) map[string]cluster.Size {
	m.mu.Lock()
	sizes := maps.Clone(m.sizes)
	m.mu.Unlock()
	saver, ok := m.driver.(driver.Saver)
	for name, state := range states {
		if !ok || state != machine.StateSaved {
			continue
		}
		delete(sizes, name)
		if described, err := saver.Saved(name); err == nil && described.CPUs > 0 {
			sizes[name] = cluster.Size{CPUs: described.CPUs, MemoryMiB: described.MemoryMiB}
		}
	}
	return sizes
}

// states returns the states of the named machines.
func (m *machines) states(ctx context.Context, names []string) (map[string]machine.State, error) {
	states := map[string]machine.State{}
	for _, name := range names {
		state, err := m.driver.State(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("read the state of machine %s: %w", name, err)
		}
		states[name] = state
	}
	return states, nil
}

// in returns those of the named machines that are in the given state.
func (m *machines) in(ctx context.Context, names []string, state machine.State) []string {
	states, err := m.states(ctx, names)
	if err != nil {
		m.log.Warn("cannot read the states of machines", "error", err)
	}
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return states[name] != state })
}

// paused returns those of the named machines that are paused, but not by a fault.
func (m *machines) paused(ctx context.Context, names []string) []string {
	return slices.DeleteFunc(m.in(ctx, names, machine.StatePaused), func(name string) bool {
		_, faulty := m.active.on(name, daemonapi.FaultPause)
		return faulty
	})
}

// stalled returns why a machine stopped by itself without ending, empty if it did
// not.
func (m *machines) stalled(name string) string {
	if reporter, ok := m.driver.(driver.StallReporter); ok {
		return reporter.Stalled(name)
	}
	return ""
}

// running reports whether a machine runs, as far as the driver can tell.
func (m *machines) running(ctx context.Context, name string) bool {
	state, err := m.driver.State(ctx, name)
	return err == nil && state == machine.StateRunning
}

// connect connects to an address of the named machine. A killed machine sends no
// FIN, so the connection is closed when the machine ends.
func (m *machines) connect(ctx context.Context, name, network, address string) (net.Conn, error) {
	conn, err := m.reach(ctx, network, address)
	if err != nil || name == "" {
		return conn, err
	}
	closed := make(chan struct{})
	m.parts.run(func(ctx context.Context) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		go func() {
			select {
			case <-closed:
				cancel()
			case <-ctx.Done():
			}
		}()
		if _ = m.driver.Wait(ctx, name); ctx.Err() == nil {
			_ = conn.Close()
		}
	})
	return &machineConn{Conn: conn, closed: sync.OnceFunc(func() { close(closed) })}, nil
}

// machineConn is a connection to a machine. closed ends the wait for its end.
type machineConn struct {
	net.Conn
	closed func()
}

func (m *machineConn) Close() error {
	m.closed()
	return m.Conn.Close()
}

// CloseWrite closes the sending direction, as load balancers do.
func (m *machineConn) CloseWrite() error {
	if half, ok := m.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
