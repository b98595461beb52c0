package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/skiff-dev/skiff/vm/driver"
	"github.com/skiff-dev/skiff/vm/driver/process"
	"github.com/skiff-dev/skiff/vm/machine"
	"github.com/skiff-dev/skiff/vm/network/impair"
)

// Driver runs machines as namespaces.
type Driver struct {
	Unpacker

	config Config
	groups groups
	thread *thread
	wire   *wire
	roots  *roots
	closed sync.Once

	machines process.Table

	mu    sync.Mutex        // guards what follows
	sizes map[string]sizeAt // of data directories
	seeds map[string][]byte // that replace those of the start
	using map[string]string // the root that each machine was started with
	// copies are data directories that are being copied, by the directory of the copy.
	copies map[string]copied
}

// sizeAt is the size of a directory at a time.
type sizeAt struct {
	bytes int64
	at    time.Time
}

// sizePeriod is how often the size of a data directory, which may hold 100,000
// files, is computed.
const sizePeriod = 20 * time.Second

var _ driver.Driver = (*Driver)(nil)

// New prepares to run machines in a network that already serves config.Network.
// It kills what a dead daemon left of machines. The error wraps
// driver.ErrUnavailable if this host cannot run them.
func New(ctx context.Context, config Config) (*Driver, error) {
	if err := Available(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(config.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("create the machines' directory: %w", err)
	}
	if err := checkDir(config.Dir); err != nil {
		return nil, err
	}
	if err := EndStray(config.Dir); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	d := &Driver{config: config, thread: newThread(), sizes: map[string]sizeAt{}, seeds: map[string][]byte{}, using: map[string]string{}, copies: map[string]copied{}}
	d.roots = &roots{dir: config.Dir, thread: d.thread, mounted: map[string]root{}}
	err := d.prepare()
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *Driver) prepare() (err error) {
	if err = raiseLimits(); err != nil {
		return err
	}
	if d.groups, err = newGroups(d.config.Dir); err != nil {
		return err
	}
	if err = d.roots.open(); err != nil {
		return err
	}
	if _, err = d.roots.mount(d.config.Image); err != nil { // if it cannot be mounted, say so now
		return err
	}
	d.wire, err = newWire(d.thread, d.config.Network, d.config.Address, d.config.Gateway)
	return err
}

// Name returns "sandbox".
func (d *Driver) Name() string { return Name }

// Describe returns what runs the machines, for users.
func (d *Driver) Describe() string {
	return "sandbox: Linux namespaces of this host, no virtualization"
}

// SetRoutes replaces the routes to addresses behind machines, which DialContext
// reaches from then on.
func (d *Driver) SetRoutes(routes []machine.Route) error {
	if err := d.wire.setRoutes(routes); err != nil {
		return fmt.Errorf("set the routes of the machines' network: %w", err)
	}
	return nil
}

// Impair changes which machines' links are impaired; those of all others are good.
func (d *Driver) Impair(links impair.Links) error {
	if err := d.wire.impair(links); err != nil {
		return fmt.Errorf("change the links of machines: %w", err)
	}
	return nil
}

// DialContext connects to an address in the machines' network, or behind a
// machine. network is "tcp", "udp" or "icmp".
func (d *Driver) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := d.wire.dial(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", address, err)
	}
	return conn, nil
}

// Create creates the machine's data directory.
func (d *Driver) Create(ctx context.Context, m machine.Machine) error {
	err := ctx.Err()
	if err == nil {
		err = os.MkdirAll(d.dir(m.Name), 0o700)
	}
	if err == nil {
		err = os.Mkdir(d.data(m.Name), 0o755)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("create machine %s: %w", m.Name, err)
	}
	return nil
}

// Grow does nothing: a machine's data directory may use all of the host's file system.
func (d *Driver) Grow(ctx context.Context, name string, _ int) error {
	if !exists(d.data(name)) {
		return fmt.Errorf("grow the disk of machine %s: %w", name, driver.ErrNotFound)
	}
	return ctx.Err()
}

// Start starts the machine's first program.
func (d *Driver) Start(ctx context.Context, m machine.Machine) error {
	if d.machines.Running(m.Name) != nil {
		return nil
	}
	if !exists(d.data(m.Name)) {
		return fmt.Errorf("start machine %s: %w", m.Name, driver.ErrNotFound)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("start machine %s: %w", m.Name, err)
	}
	d.mu.Lock()
	delete(d.seeds, m.Name) // from before this start
	d.mu.Unlock()
	if err := d.useRoot(m); err != nil {
		return fmt.Errorf("start machine %s: %w", m.Name, err)
	}
	p, err := d.run(ctx, m)
	if err != nil {
		return fmt.Errorf("start machine %s: %w", m.Name, err)
	}
	d.machines.Add(m.Name, p)
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.sizes, m.Name) // from before it wrote anything
	return nil
}

// useRoot mounts the root of a machine's image and unmounts those that no machine was
// started with.
func (d *Driver) useRoot(m machine.Machine) error {
	path, err := d.roots.mount(m.Image)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.using[m.Name] = path
	return d.roots.release(func(root string) bool {
		for _, used := range d.using {
			if used == root {
				return true
			}
		}
		return false
	})
}

// root returns where the root of a machine's image is mounted.
func (d *Driver) root(name string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.using[name]
}

// Reseed keeps the seed for a restart that the machine asks for.
func (d *Driver) Reseed(ctx context.Context, name string, seed []byte) error {
	if err := ctx.Err(); err != nil || d.machines.Running(name) == nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seeds[name] = bytes.Clone(seed)
	return nil
}

// latest returns the machine with the seed of its next boot.
func (d *Driver) latest(m machine.Machine) machine.Machine {
	d.mu.Lock()
	defer d.mu.Unlock()
	if seed, ok := d.seeds[m.Name]; ok {
		m.Seed = seed
	}
	return m
}

// Pause freezes the machine's cgroup.
func (d *Driver) Pause(ctx context.Context, name string) error {
	return d.machines.Pause(name, func() error { return d.groups.freeze(ctx, name) })
}

// Resume thaws the machine's cgroup.
func (d *Driver) Resume(_ context.Context, name string) error {
	return d.machines.Resume(name, func() error { return d.groups.thaw(name) })
}

// Stop kills all processes of the machine.
func (d *Driver) Stop(ctx context.Context, name string) error { return d.machines.Stop(ctx, name) }

// Delete stops the machine and removes its directory.
func (d *Driver) Delete(ctx context.Context, name string) error {
	if err := d.Stop(ctx, name); err != nil {
		return err
	}
	// The machine is absent from here on, however long the removal takes.
	d.mu.Lock()
	delete(d.using, name)
	d.mu.Unlock()
	gone := d.data(name) + ".gone"
	if err := os.Rename(d.data(name), gone); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete machine %s: %w", name, err)
	}
	if err := os.RemoveAll(d.dir(name)); err != nil {
		return fmt.Errorf("delete machine %s: %w", name, err)
	}
	return nil
}

// State returns absent, stopped, running or paused.
func (d *Driver) State(_ context.Context, name string) (machine.State, error) {
	return d.machines.State(name, !exists(d.data(name))), nil
}

// Wait blocks until the machine has ended.
func (d *Driver) Wait(ctx context.Context, name string) error { return d.machines.Wait(ctx, name) }

// Usage returns what the machine uses on the host.
func (d *Driver) Usage(_ context.Context, name string) (machine.Usage, error) {
	if !exists(d.data(name)) {
		return machine.Usage{}, fmt.Errorf("usage of machine %s: %w", name, driver.ErrNotFound)
	}
	usage := machine.Usage{DiskBytes: d.size(name)}
	if p := d.machines.Running(name); p != nil {
		usage.Started, usage.MemoryMiB, usage.CPU = p.Started, d.groups.memoryMiB(name), d.groups.cpu(name)
	}
	return usage, nil
}

// Close stops all machines and their network.
func (d *Driver) Close() error {
	errs := []error{d.machines.StopAll()}
	d.closed.Do(func() {
		if d.wire != nil {
			errs = append(errs, d.wire.close())
		}
		errs = append(errs, d.roots.close())
		d.thread.close()
	})
	return errors.Join(append(errs, d.groups.remove(""))...)
}

// size returns the size of a machine's directory, at most sizePeriod old.
func (d *Driver) size(name string) int64 {
	d.mu.Lock()
	last := d.sizes[name]
	d.mu.Unlock()
	if time.Since(last.at) < sizePeriod {
		return last.bytes
	}
	last = sizeAt{blocks(d.dir(name)), time.Now()}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sizes[name] = last
	return last.bytes
}

func (d *Driver) dir(name string) string { return filepath.Join(d.config.Dir, name) }

// data is the machine's own disk. The machine exists if it does.
func (d *Driver) data(name string) string    { return filepath.Join(d.dir(name), "data") }
func (d *Driver) console(name string) string { return filepath.Join(d.dir(name), "serial.log") }
func (d *Driver) pidFile(name string) string { return filepath.Join(d.dir(name), "pid") }

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// blocks returns the disk space of everything below a directory, in bytes.
func blocks(dir string) int64 {
	var sum int64
	_ = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil // it may have been removed meanwhile
		}
		if info, err := entry.Info(); err == nil {
			if stat, ok := info.Sys().(*syscall.Stat_t); ok {
				sum += stat.Blocks * 512
			}
		}
		return nil
	})
	return sum
}
