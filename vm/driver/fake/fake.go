// Package fake is a driver for tests. It keeps the contract of package driver, but
// its machines are entries of a map.
package fake

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/skiff-dev/skiff/vm/driver"
	"github.com/skiff-dev/skiff/vm/machine"
)

// Driver is the fake driver. Its zero value is ready to use.
type Driver struct {
	// Fail, if set, is called before every Create, Grow, Start, Reseed, Pause, Resume, Save,
	// Wake, Discard, Precopy, Capture, Seal and Unpack, which return its error.
	Fail func(call, name string) error
	// NoMemory, if set, is the error of CanSave.
	NoMemory error
	// Started, if set, is called with every machine that starts.
	Started func(m machine.Machine)
	// Woken, if set, is called with every saved machine that continues. It must not call the
	// driver.
	Woken func(m machine.Machine)
	// Reseeded, if set, is called with every new seed of a machine that has a
	// process.
	Reseeded func(name string, seed []byte)

	mu       sync.Mutex // guards machines and their states
	machines map[string]*state
}

type state struct {
	disk    string
	started time.Time
	ended   chan struct{} // nil before the first start; closed when ended
	exit    error
	stopped bool // by Stop
	paused  bool
	stall   string        // why it is paused, if it stopped by itself
	worked  time.Duration // until it was last started or paused
	since   time.Time     // when it was last started or resumed
	spec    machine.Machine
	saved   *memory // nil if nothing is saved
}

// memory is what Save keeps.
type memory struct {
	spec    machine.Machine
	time    time.Time
	disk    string
	damaged bool
}

var (
	_ driver.Driver        = (*Driver)(nil)
	_ driver.StallReporter = (*Driver)(nil)
	_ driver.Saver         = (*Driver)(nil)
)

// Name returns "fake".
func (d *Driver) Name() string { return "fake" }

// Describe says that nothing runs.
func (d *Driver) Describe() string { return "nothing runs here" }

// Create adds a machine with an empty disk.
func (d *Driver) Create(ctx context.Context, m machine.Machine) error {
	if err := d.ask(ctx, "create", m.Name); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.machines == nil {
		d.machines = map[string]*state{}
	}
	if d.machines[m.Name] == nil {
		d.machines[m.Name] = &state{}
	}
	return nil
}

// Grow does nothing to an existing machine: its disk has no size.
func (d *Driver) Grow(ctx context.Context, name string, _ int) error {
	if err := d.ask(ctx, "grow", name); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.machines[name]
	if s == nil {
		return fmt.Errorf("grow the disk of machine %s: %w", name, driver.ErrNotFound)
	}
	if !s.running() {
		s.saved = nil
	}
	return nil
}

// Start marks the machine as running.
func (d *Driver) Start(ctx context.Context, m machine.Machine) error {
	if err := d.ask(ctx, "start", m.Name); err != nil {
		return err
	}
	d.mu.Lock()
	s := d.machines[m.Name]
	if s == nil {
		d.mu.Unlock()
		return fmt.Errorf("start machine %s: %w", m.Name, driver.ErrNotFound)
	}
	if s.running() {
		d.mu.Unlock()
		return nil
	}
	s.start(m)
	d.mu.Unlock()
	if d.Started != nil {
		d.Started(m)
	}
	return nil
}

// start gives a machine a new process. What was saved is gone.
func (s *state) start(m machine.Machine) {
	now := time.Now()
	*s = state{disk: s.disk, ended: make(chan struct{}), started: now, since: now, spec: m}
}

// Reseed passes a machine's seed to Reseeded.
func (d *Driver) Reseed(ctx context.Context, name string, seed []byte) error {
	if err := d.ask(ctx, "reseed", name); err != nil {
		return err
	}
	d.mu.Lock()
	s := d.machines[name]
	runs := s != nil && s.running()
	d.mu.Unlock()
	if runs && d.Reseeded != nil {
		d.Reseeded(name, seed)
	}
	return nil
}

// Pause marks the machine as paused.
func (d *Driver) Pause(ctx context.Context, name string) error {
	return d.freeze(ctx, "pause", name, true)
}

// Resume marks the machine as running.
func (d *Driver) Resume(ctx context.Context, name string) error {
	return d.freeze(ctx, "resume", name, false)
}

func (d *Driver) freeze(ctx context.Context, call, name string, paused bool) error {
	if err := d.ask(ctx, call, name); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.machines[name]
	if s == nil || !s.running() {
		return fmt.Errorf("%s machine %s: %w", call, name, driver.ErrNotFound)
	}
	s.worked, s.since, s.paused, s.stall = s.cpu(), time.Now(), paused, ""
	if !paused {
		s.saved = nil
	}
	return nil
}

// Stall makes a running machine stop by itself with a reason, until Resume.
func (d *Driver) Stall(name, reason string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.machines[name]; s != nil && s.running() {
		s.worked, s.paused, s.stall = s.cpu(), true, reason
	}
}

// Stalled returns the reason of Stall.
func (d *Driver) Stalled(name string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.machines[name]; s != nil {
		return s.stall
	}
	return ""
}

// Stop marks the machine as stopped.
func (d *Driver) Stop(_ context.Context, name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.machines[name]; s != nil {
		s.end(nil)
		s.stopped = true
	}
	return nil
}

// Delete forgets the machine.
func (d *Driver) Delete(ctx context.Context, name string) error {
	if err := d.ask(ctx, "delete", name); err != nil {
		return err
	}
	if err := d.Stop(ctx, name); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.machines, name)
	return nil
}

// State returns the state of a machine.
func (d *Driver) State(_ context.Context, name string) (machine.State, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch s := d.machines[name]; {
	case s == nil:
		return machine.StateAbsent, nil
	case s.running() && s.paused:
		return machine.StatePaused, nil
	case s.running():
		return machine.StateRunning, nil
	case s.saved != nil:
		return machine.StateSaved, nil
	default:
		return machine.StateStopped, nil
	}
}

// Wait blocks until End, Stop or Delete.
func (d *Driver) Wait(ctx context.Context, name string) error {
	d.mu.Lock()
	s := d.machines[name]
	if s == nil || s.ended == nil || s.stopped {
		d.mu.Unlock()
		return fmt.Errorf("wait for machine %s: %w", name, driver.ErrNotFound)
	}
	ended := s.ended
	d.mu.Unlock()
	select {
	case <-ended:
		d.mu.Lock()
		defer d.mu.Unlock()
		return s.exit
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Usage returns invented values. A machine is always busy unless it is paused.
func (d *Driver) Usage(_ context.Context, name string) (machine.Usage, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.machines[name]
	if s == nil {
		return machine.Usage{}, fmt.Errorf("usage of machine %s: %w", name, driver.ErrNotFound)
	}
	usage := machine.Usage{DiskBytes: 4096 + int64(len(s.disk))}
	if s.running() {
		usage.Started, usage.MemoryMiB, usage.CPU = s.started, 1, s.cpu()
	}
	return usage, nil
}

// Close stops all machines.
func (d *Driver) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.machines {
		s.end(nil)
		s.stopped = true
	}
	return nil
}

// End ends a machine: with a reason, or turned off by its guest if reason is empty.
func (d *Driver) End(name, reason string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.machines[name]; s != nil {
		var exit error
		if reason != "" {
			exit = &driver.ExitError{Reason: reason}
		}
		s.end(exit)
	}
}

// Disk returns what SetDisk wrote.
func (d *Driver) Disk(name string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.machines[name]; s != nil {
		return s.disk
	}
	return ""
}

// SetDisk writes to a machine's disk.
func (d *Driver) SetDisk(name, content string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.machines[name]; s != nil {
		s.disk = content
	}
}

func (d *Driver) ask(ctx context.Context, call, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if d.Fail != nil {
		return d.Fail(call, name)
	}
	return nil
}

func (s *state) running() bool {
	if s.ended == nil {
		return false
	}
	select {
	case <-s.ended:
		return false
	default:
		return true
	}
}

// cpu is the CPU time of a machine that is always busy.
func (s *state) cpu() time.Duration {
	if s.paused {
		return s.worked
	}
	return s.worked + time.Since(s.since)
}

func (s *state) end(exit error) {
	if s.running() {
		s.exit = exit
		close(s.ended)
	}
}
