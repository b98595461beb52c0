// Package drivers is the catalogue of what can run machines: everything that
// differs between drivers outside their own packages is in its table.
package drivers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/driver"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/image"
	"github.com/skiff-dev/skiff/vm/machine"
	"github.com/skiff-dev/skiff/vm/network"
	"github.com/skiff-dev/skiff/vm/network/hostport"
	"github.com/skiff-dev/skiff/vm/network/impair"
)

// Entry describes one driver.
type Entry struct {
	Name string
	// Summary describes the machines in a few words.
	Summary string
	// Warning is what a user must know before using the driver, one line; may be
	// empty.
	Warning string
	// Available returns driver.ErrUnavailable, with what to do, if this host lacks
	// something that machines of the architecture arch need.
	Available func(arch string) error
	// NoPause explains why machines cannot be paused on this host; nil if they can, as far
	// as that is known without a look at the host.
	NoPause error
	// NoMemory explains why the memory of machines cannot be kept on this host; nil if it can,
	// as far as that is known without a machine.
	NoMemory error
	// NoEmulation explains why machines of another architecture than this host's cannot run;
	// nil if they can.
	NoEmulation error
	// Probe finds out how well this host runs machines of the image. The result is
	// kept in the directory cache.
	Probe func(ctx context.Context, node image.Image, cache string) (Facts, error)
	// Open prepares a cluster's machines and their network. Nothing boots.
	Open func(ctx context.Context, config Config) (Machines, error)
	// Unpacker returns what makes machines, which will be in the directory dir, of copies.
	Unpacker func(dir string) driver.Unpacker
	// Cleanup ends what a dead daemon left running below dir, a cluster's
	// directory of machines. The caller holds the cluster's lock.
	Cleanup func(dir string) error
}

// Config is what a cluster's machines are opened with.
type Config struct {
	Cluster home.Cluster
	// Cache keeps the results of probes.
	Cache string
	Spec  cluster.Spec
	Image image.Image
	// Executable is this program, which drivers may start again.
	Executable string
	// Peers leads to other clusters by the addresses in PeerRange; may be nil.
	Peers     network.Peers
	PeerRange netip.Prefix
	Log       *slog.Logger
}

// Machines run and reach the machines of one cluster.
type Machines struct {
	Driver driver.Driver
	// Dial connects to an address in the machines' network, or behind a machine.
	// network is "tcp", "udp" or "icmp". On a connection of ICMP, whose port does not
	// matter, each Write is an echo request and each Read a reply to one.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Listen listens on a TCP port of the gateway's address, for a service that the
	// host offers to machines. A connection's remote address is its machine's. May be
	// nil.
	Listen func(port uint16) (net.Listener, error)
	// ListenAt does so at another address of the machines' subnet, which no machine has.
	// It is nil if Listen is.
	ListenAt func(address netip.Addr, port uint16) (net.Listener, error)
	// Local is network.Network.Local: it returns a function that takes this host's
	// connections to a service of ListenAt, nil if nothing listens at the port, and whether
	// this process has the address. It is nil if Listen is.
	Local func(netip.AddrPort) (take func(net.Conn) bool, own bool)
	// PutFile writes a file once and links it into the file systems of machines; nil if
	// they are not part of the host's. The directory must exist. If content does not have
	// the SHA-256 sum, no file is created. It returns errors.ErrUnsupported, without reading
	// content, if the host's file system does not support that.
	PutFile func(ctx context.Context, machines []string, name, sum string, content io.Reader) error
	// SetRoutes replaces the routes to addresses behind machines, which Dial
	// reaches from then on.
	SetRoutes func([]machine.Route) error
	// Run serves the machines' network until its context ends; may be nil.
	Run func(ctx context.Context) error
	// OpenHostPorts changes which ports of the host's loopback machines may use; may
	// be nil.
	OpenHostPorts func(hostport.Set)
	// OpenProxies changes which proxies on the host's loopback machines may use; may
	// be nil.
	OpenProxies func([]netip.AddrPort)
	// Problems describes what machines tried and were refused, one line for users
	// each; may be nil.
	Problems func() []string
	// Impair changes which machines' links are impaired, of all machines at once; nil if
	// that is not possible.
	Impair func(impair.Links) error
	// SharesHost is set if the machines' clock and file system are the host's.
	SharesHost bool
	// FolderTag returns the tag by which a guest mounts a folder of the host; nil if
	// it needs none.
	FolderTag func(machine.Folder) string
	// Emulated is set if no hypervisor runs the machines.
	Emulated bool
}

// State is how well a host runs a driver's machines.
type State string

// States of a driver on a host.
const (
	Ready       State = "ready"
	Slow        State = "slow"
	Unavailable State = "unavailable"
)

// Facts are what a host can do with a driver.
type Facts struct {
	Name  string `json:"name"`
	State State  `json:"state"`
	// Detail describes what runs the machines, or what is missing.
	Detail  string `json:"detail"`
	Warning string `json:"warning,omitempty"`
	// Pause is set if machines can be paused.
	Pause bool `json:"pause"`
}

// All returns every driver. The first is the default, and the order is that of
// preference between drivers that are equally fast.
func All() []Entry { return []Entry{limaEntry(), sandboxEntry()} }

// Names returns the names of all drivers.
func Names() []string {
	var names []string
	for _, entry := range All() {
		names = append(names, entry.Name)
	}
	return names
}

// Usage describes the choice between drivers in one line.
func Usage() string {
	var choices []string
	for _, entry := range All() {
		choices = append(choices, fmt.Sprintf("%q (%s)", entry.Name, entry.Summary))
	}
	return strings.Join(choices, " or ")
}

// Find returns the driver with the name.
func Find(name string) (Entry, error) {
	all := All()
	i := slices.IndexFunc(all, func(e Entry) bool { return e.Name == name })
	if i < 0 {
		return Entry{}, fmt.Errorf("unknown driver %q: choose one of %s", name, strings.Join(Names(), ", "))
	}
	return all[i], nil
}

// CanPause returns an error if machines of a driver cannot be paused on this host.
func CanPause(name string) error {
	entry, err := Find(name)
	if err != nil {
		return nil //nolint:nilerr // an unknown driver is another error
	}
	return entry.NoPause
}

// CanKeepMemory returns an error if the memory of machines of a driver cannot be kept on this
// host.
func CanKeepMemory(name string) error {
	entry, err := Find(name)
	if err != nil {
		return err
	}
	return entry.NoMemory
}

// CanEmulate returns an error if machines of a driver cannot have another architecture than
// this host.
func CanEmulate(name string) error {
	entry, err := Find(name)
	if err != nil {
		return nil //nolint:nilerr // an unknown driver is another error
	}
	return entry.NoEmulation
}

// Open opens the machines of config's driver.
func Open(ctx context.Context, config Config) (Machines, error) {
	entry, err := Find(config.Spec.Driver)
	if err != nil {
		return Machines{}, err
	}
	machines, err := entry.Open(ctx, config)
	if err != nil {
		return Machines{}, fmt.Errorf("open driver %s: %w", entry.Name, err)
	}
	return machines, nil
}

// Unpacker returns what makes machines of a driver's copies, for the cluster in dir.
func Unpacker(dir home.Cluster, name string) (driver.Unpacker, error) {
	entry, err := Find(name)
	if err != nil {
		return nil, err
	}
	return entry.Unpacker(dir.Machines()), nil
}

// Cleanup ends what a dead daemon left of a cluster's machines, whatever driver
// ran them. The caller holds the cluster's lock.
func Cleanup(dir home.Cluster) error {
	var failed []error
	for _, entry := range All() {
		failed = append(failed, entry.Cleanup(dir.Machines()))
	}
	return errors.Join(failed...)
}

// Probe returns what this host can do with each driver.
func Probe(ctx context.Context, node image.Image, cache string) ([]Facts, error) {
	var all []Facts
	for _, entry := range All() {
		facts, err := entry.Probe(ctx, node, cache)
		if errors.Is(err, driver.ErrUnavailable) {
			facts, err = Facts{State: Unavailable, Detail: err.Error()}, nil
		}
		if err != nil {
			return nil, fmt.Errorf("probe driver %s: %w", entry.Name, err)
		}
		facts.Name, facts.Warning = entry.Name, entry.Warning
		all = append(all, facts)
	}
	return all, nil
}

// Best returns the name of the fastest driver that the host can run, or an
// empty string.
func Best(facts []Facts) string {
	for _, state := range []State{Ready, Slow} {
		for _, f := range facts {
			if f.State == state {
				return f.Name
			}
		}
	}
	return ""
}
