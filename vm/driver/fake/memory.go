package fake

import (
	"context"
	"fmt"
	"time"

	"github.com/skiff-dev/skiff/vm/driver"
	"github.com/skiff-dev/skiff/vm/machine"
)

// savedBytes is what the memory of every machine takes.
const savedBytes = 8 << 20

// CanSave returns the same size for all machines, or NoMemory.
func (d *Driver) CanSave(_ context.Context, name string) (int64, error) {
	if d.NoMemory != nil {
		return 0, d.NoMemory
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.machines[name]
	switch {
	case s == nil || !s.running():
		return 0, fmt.Errorf("machine %s: %w", name, driver.ErrNotFound)
	case s.stall != "":
		return 0, fmt.Errorf("%s is halted: %s", name, s.stall)
	}
	return savedBytes, nil
}

// Save keeps with what a paused machine was started.
func (d *Driver) Save(ctx context.Context, name string) error {
	if err := d.ask(ctx, "save", name); err != nil {
		return err
	}
	if _, err := d.CanSave(ctx, name); err != nil {
		return fmt.Errorf("save machine %s: %w", name, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.machines[name]
	if !s.paused {
		return fmt.Errorf("save machine %s: it is not paused", name)
	}
	s.saved = &memory{spec: s.spec, time: time.Now(), disk: s.disk}
	return nil
}

// Saved describes what Save kept.
func (d *Driver) Saved(name string) (machine.Saved, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.machines[name]
	if s == nil || s.running() || s.saved == nil {
		return machine.Saved{}, fmt.Errorf("saved memory of machine %s: %w", name, driver.ErrNotFound)
	}
	return machine.Saved{Time: s.saved.time, Bytes: savedBytes, CPUs: s.saved.spec.CPUs, MemoryMiB: s.saved.spec.MemoryMiB}, nil
}

// Wake marks a saved machine as running.
func (d *Driver) Wake(ctx context.Context, m machine.Machine) error {
	if err := d.ask(ctx, "wake", m.Name); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.machines[m.Name]
	if s == nil || s.running() || s.saved == nil {
		return fmt.Errorf("wake machine %s: %w", m.Name, driver.ErrNotFound)
	}
	switch was := s.saved.spec; {
	case was.CPUs != m.CPUs || was.MemoryMiB != m.MemoryMiB:
		return &driver.UnusableError{Reason: "its size has changed"}
	case was.Image.Digest != m.Image.Digest:
		return &driver.UnusableError{Reason: "the node image has changed"}
	case was.Settings != m.Settings && (m.Inherited == "" || was.Settings != m.Inherited):
		return &driver.UnusableError{Reason: "its settings have changed"}
	case s.saved.disk != s.disk:
		return &driver.UnusableError{Reason: "its disk has changed since"}
	case s.saved.damaged:
		return &driver.UnusableError{Reason: "the checksum is wrong"}
	}
	s.start(m)
	if d.Woken != nil {
		d.Woken(m)
	}
	return nil
}

// Discard forgets what Save kept.
func (d *Driver) Discard(ctx context.Context, name string) error {
	if err := d.ask(ctx, "discard", name); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.machines[name]; s != nil {
		s.saved = nil
	}
	return nil
}

// Damage damages what Save kept.
func (d *Driver) Damage(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.machines[name]; s != nil && s.saved != nil {
		s.saved.damaged = true
	}
}

// Age makes what Save kept older.
func (d *Driver) Age(name string, by time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.machines[name]; s != nil && s.saved != nil {
		s.saved.time = s.saved.time.Add(-by)
	}
}
