// Package lima runs machines with Lima's drivers as a library: QEMU, or vz on a
// Mac. No machine outlives the process that started it, none is reached over
// ssh, and none opens a port of the host.
package lima

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	limadriver "github.com/lima-vm/lima/v2/pkg/driver"
	"github.com/lima-vm/lima/v2/pkg/limatype/filenames"

	"github.com/skiff-dev/skiff/vm/driver"
	"github.com/skiff-dev/skiff/vm/machine"
)

// Config of a Driver.
type Config struct {
	// Dir holds one directory for each machine; Lima's home. Absolute and short,
	// since sockets lie below it.
	Dir string
	// Network is the unix socket at which machines join their network, in
	// QEMU's protocol.
	Network string
	// Cache keeps the result of probing the host.
	Cache string
	// Image is what is booted to probe the host.
	Image machine.Image
	// Executable is this program, started again as QEMU's wrapper.
	Executable string
}

// Driver runs machines through Lima.
type Driver struct {
	config   Config
	platform platform
	accel    Acceleration

	mu       sync.Mutex          // guards machines
	machines map[string]*process // started and not stopped
}

// process is one machine that was started.
type process struct {
	cancel  context.CancelFunc
	started time.Time
	done    chan struct{} // closed when the process has ended
	err     error         // how it ended; read after done
	paused  atomic.Bool
}

var _ driver.Driver = (*Driver)(nil)

// New prepares this host and process for running machines: it sets environment
// variables that Lima reads, so there is one Driver in a process, made before
// anything reads the environment. It ends machines that a dead daemon left.
// The error is driver.ErrUnavailable if a program is missing.
func New(ctx context.Context, config Config) (*Driver, error) {
	if err := Available(config.Image.Arch); err != nil {
		return nil, err
	}
	if err := checkPath(config.Dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(config.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the machines' directory: %w", err)
	}
	if err := EndStray(config.Dir); err != nil {
		return nil, err
	}
	accel, err := probe(ctx, config)
	if err != nil {
		return nil, err
	}
	platform, err := prepare(config, accel)
	if err != nil {
		return nil, err
	}
	return &Driver{config: config, platform: platform, accel: accel, machines: map[string]*process{}}, nil
}

// Name is "lima".
func (d *Driver) Name() string { return "lima" }

// Describe says what runs the machines.
func (d *Driver) Describe() string { return d.accel.Describe() }

// Emulated says that no hypervisor runs the machines.
func (d *Driver) Emulated() bool { return d.accel.Emulated() }

// Create makes the machine's data disk.
func (d *Driver) Create(ctx context.Context, m machine.Machine) error {
	if err := checkSocket(d.dir(m.Name)); err != nil {
		return err
	}
	if err := os.MkdirAll(d.dir(m.Name), 0o700); err != nil {
		return fmt.Errorf("create machine %s: %w", m.Name, err)
	}
	if err := d.platform.createDisk(ctx, d.disk(m.Name), m.DiskMiB); err != nil {
		return fmt.Errorf("create machine %s: %w", m.Name, err)
	}
	return nil
}

// Start boots the machine.
func (d *Driver) Start(ctx context.Context, m machine.Machine) error {
	if p := d.process(m.Name); p != nil && p.running() {
		return nil
	}
	if !exists(d.disk(m.Name)) {
		return fmt.Errorf("start machine %s: %w", m.Name, driver.ErrNotFound)
	}
	if err := d.writeInstance(ctx, m); err != nil {
		return fmt.Errorf("start machine %s: %w", m.Name, err)
	}
	p, err := d.run(ctx, m)
	if err != nil {
		return fmt.Errorf("start machine %s: %w", m.Name, err)
	}
	d.mu.Lock()
	d.machines[m.Name] = p
	d.mu.Unlock()
	return nil
}

// run starts the process and returns once it runs.
func (d *Driver) run(ctx context.Context, m machine.Machine) (*process, error) {
	inst, err := d.instance(ctx, m)
	if err != nil {
		return nil, err
	}
	lima, err := d.platform.configure(ctx, inst)
	if err != nil {
		return nil, fmt.Errorf("configure Lima's driver: %w", err)
	}
	// The machine lives on when the call is over; until then the call ends it.
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	release := context.AfterFunc(ctx, cancel)
	defer release()
	ended, err := lima.Start(life)
	if err != nil {
		cancel()
		return nil, err
	}
	p := &process{cancel: cancel, started: time.Now(), done: make(chan struct{})}
	go d.await(life, p, m.Name, lima, ended)
	if err := p.awaitRunning(ctx, filepath.Join(inst.Dir, filenames.PIDFile(inst.VMType))); err != nil {
		cancel()
		<-p.done
		return nil, err
	}
	return p, nil
}

// await records how a process ended.
func (d *Driver) await(life context.Context, p *process, name string, lima limadriver.Driver, ended <-chan error) {
	defer close(p.done)
	defer p.cancel()
	err := d.platform.wait(life, lima, ended)
	if err == nil {
		return
	}
	reason := err.Error()
	if said := lastLine(filepath.Join(d.dir(name), qemuLog)); said != "" {
		reason += ": " + said
	}
	p.err = &driver.ExitError{Reason: reason}
}

// awaitRunning returns when the file with the process's id is there, which
// QEMU writes once it has opened all that it needs.
func (p *process) awaitRunning(ctx context.Context, pidFile string) error {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for !exists(pidFile) {
		select {
		case <-p.done:
			return fmt.Errorf("the process ended at once: %w", p.exit())
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
	return nil
}

func (p *process) exit() error {
	if p.err == nil {
		return &driver.ExitError{Reason: "exit status 0"}
	}
	return p.err
}

func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Reseed writes the seed into the file that the machine has open, since a guest
// that boots again keeps its disks.
func (d *Driver) Reseed(ctx context.Context, name string, seed []byte) error {
	if p := d.process(name); p == nil || !p.running() {
		return ctx.Err()
	}
	if err := overwrite(filepath.Join(d.dir(name), filenames.CIDataISO), seed); err != nil {
		return fmt.Errorf("replace the seed of machine %s: %w", name, err)
	}
	return nil
}

// Pause stops the machine's virtual processors.
func (d *Driver) Pause(ctx context.Context, name string) error {
	p := d.process(name)
	if p == nil || !p.running() {
		return fmt.Errorf("pause machine %s: %w", name, driver.ErrNotFound)
	}
	if err := d.platform.pause(ctx, d.dir(name)); err != nil {
		return fmt.Errorf("pause machine %s: %w", name, err)
	}
	p.paused.Store(true)
	return nil
}

// Resume lets the machine's virtual processors go on.
func (d *Driver) Resume(ctx context.Context, name string) error {
	p := d.process(name)
	if p == nil || !p.running() {
		return fmt.Errorf("resume machine %s: %w", name, driver.ErrNotFound)
	}
	if !p.paused.Load() {
		return nil
	}
	if err := d.platform.resume(ctx, d.dir(name)); err != nil {
		return fmt.Errorf("resume machine %s: %w", name, err)
	}
	p.paused.Store(false)
	return nil
}

// Stop ends the machine's process.
func (d *Driver) Stop(ctx context.Context, name string) error {
	p := d.process(name)
	if p == nil {
		return nil
	}
	p.cancel()
	select {
	case <-p.done:
	case <-ctx.Done():
		return fmt.Errorf("stop machine %s: %w", name, ctx.Err())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.machines, name)
	return nil
}

// Delete stops the machine and removes its directory and disk.
func (d *Driver) Delete(ctx context.Context, name string) error {
	if err := d.Stop(ctx, name); err != nil {
		return err
	}
	// The disk goes first: without it the machine is absent, whatever else
	// is left when this is interrupted.
	for _, dir := range []string{filepath.Dir(d.disk(name)), d.dir(name)} {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("delete machine %s: %w", name, err)
		}
	}
	return nil
}

// State is absent, stopped, running or paused.
func (d *Driver) State(_ context.Context, name string) (machine.State, error) {
	if p := d.process(name); p != nil && p.running() {
		if p.paused.Load() {
			return machine.StatePaused, nil
		}
		return machine.StateRunning, nil
	}
	if exists(d.disk(name)) {
		return machine.StateStopped, nil
	}
	return machine.StateAbsent, nil
}

// Wait blocks until the machine's process has ended.
func (d *Driver) Wait(ctx context.Context, name string) error {
	p := d.process(name)
	if p == nil {
		return fmt.Errorf("wait for machine %s: %w", name, driver.ErrNotFound)
	}
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Usage is what the machine takes on the host.
func (d *Driver) Usage(_ context.Context, name string) (machine.Usage, error) {
	if !exists(d.disk(name)) {
		return machine.Usage{}, fmt.Errorf("usage of machine %s: %w", name, driver.ErrNotFound)
	}
	usage := machine.Usage{DiskBytes: blocks(d.dir(name)) + blocks(filepath.Dir(d.disk(name)))}
	if p := d.process(name); p != nil && p.running() {
		usage.Started = p.started
		usage.MemoryMiB, usage.CPU = d.platform.taken(d.dir(name))
	}
	return usage, nil
}

// Close stops all machines.
func (d *Driver) Close() error {
	d.mu.Lock()
	var names []string
	for name, p := range d.machines {
		p.cancel()
		names = append(names, name)
	}
	d.mu.Unlock()
	var errs []error
	for _, name := range names {
		errs = append(errs, d.Stop(context.Background(), name))
	}
	return errors.Join(errs...)
}

func (d *Driver) process(name string) *process {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.machines[name]
}

func (d *Driver) dir(name string) string { return filepath.Join(d.config.Dir, name) }

// disk is the machine's own disk. That it exists is what makes the machine
// exist.
func (d *Driver) disk(name string) string {
	return filepath.Join(d.config.Dir, filenames.DisksDir, name, filenames.DataDisk)
}
