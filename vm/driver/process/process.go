// Package process keeps track of the machines that a driver has started, in the
// same way for all drivers.
package process

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skiff-dev/skiff/vm/driver"
	"github.com/skiff-dev/skiff/vm/machine"
)

// Process is the process of a machine that was started.
type Process struct {
	// Started is the time of the start.
	Started time.Time

	stop   context.CancelFunc
	done   chan struct{} // closed when it has ended
	err    error         // how it ended; read after done
	paused atomic.Bool
	stall  atomic.Pointer[string] // why the machine stopped by itself, nil if it runs
}

// Stall records that the machine stopped by itself, and why.
func (p *Process) Stall(reason string) { p.stall.Store(&reason) }

// Unstall records that the machine runs again.
func (p *Process) Unstall() { p.stall.Store(nil) }

// Follow returns a Process that ends when wait returns. wait returns nil if the
// guest turned itself off, or after stop, which ends the process.
func Follow(stop context.CancelFunc, wait func() error) *Process {
	p := &Process{Started: time.Now(), stop: stop, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		defer stop()
		p.err = wait()
	}()
	return p
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// End returns how the process ended. It must have ended.
func (p *Process) End() error { return p.err }

// Kill ends a process that is not in a Table, and returns when it has ended.
func (p *Process) Kill() {
	p.stop()
	<-p.done
}

func (p *Process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Table holds a driver's processes by machine, from Add until Stop. The zero value
// is empty. Its methods may be called concurrently.
type Table struct {
	mu   sync.Mutex // guards name
	name map[string]*Process
}

// Add sets the process of a machine.
func (t *Table) Add(name string, p *Process) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.name == nil {
		t.name = map[string]*Process{}
	}
	t.name[name] = p
}

func (t *Table) get(name string) *Process {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.name[name]
}

// Running returns the machine's process, paused or not; nil if it has none.
func (t *Table) Running(name string) *Process {
	if p := t.get(name); p != nil && p.running() {
		return p
	}
	return nil
}

// State returns the state of a machine. absent says which one it is without a
// process: absent or stopped.
func (t *Table) State(name string, absent bool) machine.State {
	switch p := t.Running(name); {
	case p != nil && (p.paused.Load() || p.stall.Load() != nil):
		return machine.StatePaused
	case p != nil:
		return machine.StateRunning
	case absent:
		return machine.StateAbsent
	default:
		return machine.StateStopped
	}
}

// Stalled returns why a machine stopped by itself; empty if it did not, or was
// paused as well.
func (t *Table) Stalled(name string) string {
	p := t.Running(name)
	if p == nil || p.paused.Load() {
		return ""
	}
	reason := p.stall.Load()
	if reason == nil {
		return ""
	}
	return *reason
}

// Pause pauses a running machine with freeze, which may be called for a paused one.
func (t *Table) Pause(name string, freeze func() error) error {
	p := t.Running(name)
	if p == nil {
		return fmt.Errorf("pause machine %s: %w", name, driver.ErrNotFound)
	}
	if err := freeze(); err != nil {
		return fmt.Errorf("pause machine %s: %w", name, err)
	}
	p.paused.Store(true)
	return nil
}

// Resume lets a paused or stalled machine continue with thaw.
func (t *Table) Resume(name string, thaw func() error) error {
	p := t.Running(name)
	if p == nil {
		return fmt.Errorf("resume machine %s: %w", name, driver.ErrNotFound)
	}
	stall := p.stall.Swap(nil) // before the machine runs: it may stall again at once
	if !p.paused.Load() && stall == nil {
		return nil
	}
	if err := thaw(); err != nil {
		p.stall.CompareAndSwap(nil, stall)
		return fmt.Errorf("resume machine %s: %w", name, err)
	}
	p.paused.Store(false)
	return nil
}

// Wait implements driver.Driver.
func (t *Table) Wait(ctx context.Context, name string) error {
	p := t.get(name)
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

// Stop implements driver.Driver.
func (t *Table) Stop(ctx context.Context, name string) error {
	p := t.get(name)
	if p == nil {
		return nil
	}
	p.stop()
	select {
	case <-p.done:
	case <-ctx.Done():
		return fmt.Errorf("stop machine %s: %w", name, ctx.Err())
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.name, name)
	return nil
}

// StopAll stops all machines and returns when they have ended.
func (t *Table) StopAll() error {
	t.mu.Lock()
	var names []string
	for name, p := range t.name {
		p.stop()
		names = append(names, name)
	}
	t.mu.Unlock()
	var errs []error
	for _, name := range names {
		errs = append(errs, t.Stop(context.Background(), name))
	}
	return errors.Join(errs...)
}
