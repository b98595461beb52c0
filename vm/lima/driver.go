// Package lima runs machines with Lima's drivers as a library: QEMU, or vz on a Mac.
// No machine outlives the process that started it, uses ssh, or opens a port on the
// host.
package lima

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	limadriver "github.com/lima-vm/lima/v2/pkg/driver"
	"github.com/lima-vm/lima/v2/pkg/limatype/filenames"

	"github.com/skiff-dev/skiff/vm/driver"
	"github.com/skiff-dev/skiff/vm/driver/process"
	"github.com/skiff-dev/skiff/vm/driver/saved"
	"github.com/skiff-dev/skiff/vm/machine"
)

// Name of the driver.
const Name = "lima"

// Config of a Driver.
type Config struct {
	// Dir holds one directory per machine. It is Lima's home, absolute and short,
	// because it contains sockets.
	Dir string
	// Network is the unix socket at which machines join their network, in
	// QEMU's protocol.
	Network string
	// Cache is the directory for results of probing the host.
	Cache string
	// Image is booted to probe the host.
	Image machine.Image
	// Executable is this program, which is started again as QEMU's wrapper.
	Executable string
	// Log may be nil.
	Log *slog.Logger
}

// Driver runs machines through Lima.
type Driver struct {
	config   Config
	platform platform
	accel    Acceleration

	machines process.Table

	mu      sync.Mutex                 // guards what follows
	foreign map[string]Acceleration    // of other architectures than that of config.Image
	started map[string]machine.Machine // with which machines were started, without seeds
}

var (
	_ driver.Driver        = (*Driver)(nil)
	_ driver.StallReporter = (*Driver)(nil)
	_ driver.Saver         = (*Driver)(nil)
)

// New prepares this process to run machines. It sets environment variables that Lima
// reads, so a process can have only one Driver, created before anything reads the
// environment. It kills machines that a dead daemon left. The error wraps
// driver.ErrUnavailable if a program is missing.
func New(ctx context.Context, config Config) (*Driver, error) {
	if err := Available(config.Image.Arch); err != nil {
		return nil, err
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	if err := checkPath(config.Dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(config.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("create the machines' directory: %w", err)
	}
	if err := EndStray(config.Dir); err != nil {
		return nil, err
	}
	accel, err := probe(ctx, config)
	if err != nil {
		return nil, err
	}
	platform, err := prepare(ctx, config, accel)
	if err != nil {
		return nil, err
	}
	return &Driver{config: config, platform: platform, accel: accel, foreign: map[string]Acceleration{}, started: map[string]machine.Machine{}}, nil
}

// Name returns "lima".
func (d *Driver) Name() string { return Name }

// Describe returns what runs the machines, for users.
func (d *Driver) Describe() string { return d.accel.Describe() }

// Emulated reports whether the machines run without a hypervisor.
func (d *Driver) Emulated() bool { return d.accel.Emulated() }

// Create creates the machine's data disk.
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

// Grow enlarges the machine's data disk.
func (d *Driver) Grow(ctx context.Context, name string, diskMiB int) error {
	if !exists(d.disk(name)) {
		return fmt.Errorf("grow the disk of machine %s: %w", name, driver.ErrNotFound)
	}
	if d.machines.Running(name) == nil {
		if err := saved.Discard(d.dir(name)); err != nil {
			return fmt.Errorf("grow the disk of machine %s: %w", name, err)
		}
	}
	err := d.platform.growDisk(ctx, d.dir(name), d.disk(name), diskMiB, d.machines.Running(name) != nil)
	if err != nil {
		return fmt.Errorf("grow the disk of machine %s: %w", name, err)
	}
	return nil
}

// Start boots the machine.
func (d *Driver) Start(ctx context.Context, m machine.Machine) error {
	if d.machines.Running(m.Name) != nil {
		return nil
	}
	if !exists(d.disk(m.Name)) {
		return fmt.Errorf("start machine %s: %w", m.Name, driver.ErrNotFound)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("start machine %s: %w", m.Name, err)
	}
	if err := saved.Discard(d.dir(m.Name)); err != nil {
		return fmt.Errorf("start machine %s: %w", m.Name, err)
	}
	if _, err := d.accelerate(ctx, m.Image.Arch); err != nil {
		return fmt.Errorf("start machine %s: %w", m.Name, err)
	}
	if err := d.writeInstance(ctx, m); err != nil {
		return fmt.Errorf("start machine %s: %w", m.Name, err)
	}
	p, err := d.run(ctx, m)
	if err != nil {
		return fmt.Errorf("start machine %s: %w", m.Name, err)
	}
	d.add(m, p)
	return nil
}

// add records the process of a machine.
func (d *Driver) add(m machine.Machine, p *process.Process) {
	m.Seed = nil
	d.mu.Lock()
	d.started[m.Name] = m
	d.mu.Unlock()
	d.machines.Add(m.Name, p)
}

// spec returns with what a machine was started.
func (d *Driver) spec(name string) machine.Machine {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.started[name]
}

// run starts the process and returns when it runs.
func (d *Driver) run(ctx context.Context, m machine.Machine) (*process.Process, error) {
	inst, err := d.instance(ctx, m)
	if err != nil {
		return nil, err
	}
	shared, err := d.platform.share(ctx, inst, m.Folders)
	if err != nil {
		return nil, fmt.Errorf("share folders of the host: %w", err)
	}
	attached, err := d.platform.attach(inst.Dir)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the console: %w", err), shared.Close())
	}
	release := func() error { return errors.Join(attached.Close(), shared.Close()) }
	lima, err := d.platform.configure(ctx, inst)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("configure Lima's driver: %w", err), release())
	}
	// The machine outlives the call, but a call that is cancelled ends it.
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer context.AfterFunc(ctx, cancel)()
	ended, err := lima.Start(life)
	if err != nil {
		cancel()
		return nil, errors.Join(err, release())
	}
	p := process.Follow(cancel, func() error {
		defer func() { _ = release() }()
		return d.await(life, m.Name, lima, ended)
	})
	if err := awaitRunning(ctx, p, filepath.Join(inst.Dir, filenames.PIDFile(inst.VMType))); err != nil {
		cancel()
		<-p.Done()
		return nil, err
	}
	go func() {
		if err := d.platform.follow(life, inst.Dir, p); err != nil {
			d.config.Log.Warn("a machine that stops because of its disk will not be noticed", "machine", m.Name, "error", err)
		}
	}()
	return p, nil
}

// await waits until a process has ended and returns how.
func (d *Driver) await(life context.Context, name string, lima limadriver.Driver, ended <-chan error) error {
	err := d.platform.wait(life, lima, ended)
	if err == nil {
		return nil
	}
	reason := err.Error()
	if said := lastLine(filepath.Join(d.dir(name), qemuLog)); said != "" {
		reason += ": " + said
	}
	return &driver.ExitError{Reason: reason}
}

// awaitRunning returns when the file has the process ID, which QEMU writes after it has
// opened everything that it needs.
func awaitRunning(ctx context.Context, p *process.Process, pidFile string) error {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for !hasPID(pidFile) {
		select {
		case <-p.Done():
			return fmt.Errorf("the process ended during its start: %w", exit(p))
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
	return nil
}

// hasPID reports whether a file has a process ID. It is empty for a moment.
func hasPID(file string) bool {
	_, err := readPID(file)
	return err == nil
}

func exit(p *process.Process) error {
	if p.End() == nil {
		return &driver.ExitError{Reason: "exit status 0"}
	}
	return p.End()
}

// Reseed overwrites the file that the machine has open, because a guest that boots
// again keeps its disks.
func (d *Driver) Reseed(ctx context.Context, name string, seed []byte) error {
	if d.machines.Running(name) == nil {
		return ctx.Err()
	}
	if err := overwrite(filepath.Join(d.dir(name), filenames.CIDataISO), seed); err != nil {
		return fmt.Errorf("replace the seed of machine %s: %w", name, err)
	}
	return nil
}

// Pause stops the machine's virtual CPUs.
func (d *Driver) Pause(ctx context.Context, name string) error {
	return d.machines.Pause(name, func() error { return d.platform.pause(ctx, d.dir(name)) })
}

// Resume lets the machine's virtual CPUs continue.
func (d *Driver) Resume(ctx context.Context, name string) error {
	return d.machines.Resume(name, func() error {
		if err := saved.Discard(d.dir(name)); err != nil {
			return err
		}
		return d.platform.resume(ctx, d.dir(name))
	})
}

// Stalled returns why QEMU stopped the machine.
func (d *Driver) Stalled(name string) string { return d.machines.Stalled(name) }

// Stop kills the machine's process.
func (d *Driver) Stop(ctx context.Context, name string) error { return d.machines.Stop(ctx, name) }

// Delete stops the machine and removes its directory and disk.
func (d *Driver) Delete(ctx context.Context, name string) error {
	if err := d.Stop(ctx, name); err != nil {
		return err
	}
	if err := saved.Discard(d.dir(name)); err != nil {
		return fmt.Errorf("delete machine %s: %w", name, err)
	}
	// The disk goes first: without it the machine is absent, even if the rest of
	// the removal is interrupted.
	for _, dir := range []string{filepath.Dir(d.disk(name)), d.dir(name)} {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("delete machine %s: %w", name, err)
		}
	}
	return nil
}

// State returns absent, stopped, running, paused or saved.
func (d *Driver) State(_ context.Context, name string) (machine.State, error) {
	state := d.machines.State(name, !exists(d.disk(name)))
	if state == machine.StateStopped && saved.Exists(d.dir(name)) {
		return machine.StateSaved, nil
	}
	return state, nil
}

// Wait blocks until the machine's process has ended.
func (d *Driver) Wait(ctx context.Context, name string) error { return d.machines.Wait(ctx, name) }

// Usage returns what the machine uses on the host.
func (d *Driver) Usage(_ context.Context, name string) (machine.Usage, error) {
	if !exists(d.disk(name)) {
		return machine.Usage{}, fmt.Errorf("usage of machine %s: %w", name, driver.ErrNotFound)
	}
	usage := machine.Usage{DiskBytes: blocks(d.dir(name)) + blocks(filepath.Dir(d.disk(name)))}
	if p := d.machines.Running(name); p != nil {
		usage.Started = p.Started
		usage.MemoryMiB, usage.CPU = d.platform.usage(d.dir(name))
	}
	return usage, nil
}

// Close stops all machines.
func (d *Driver) Close() error { return d.machines.StopAll() }

func (d *Driver) dir(name string) string { return filepath.Join(d.config.Dir, name) }

// disk returns the path of the machine's own disk. The machine exists if it does.
func (d *Driver) disk(name string) string {
	return filepath.Join(d.config.Dir, filenames.DisksDir, name, filenames.DataDisk)
}
