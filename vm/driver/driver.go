// Package driver is the contract between a cluster and what runs its machines.
// Every driver passes the suite in package drivertest.
package driver

import (
	"context"
	"errors"

	"github.com/skiff-dev/skiff/vm/machine"
)

// Errors of every driver.
var (
	// ErrNotFound reports that a machine is absent.
	ErrNotFound = errors.New("machine not found")
	// ErrUnavailable reports that this host cannot run the driver. Errors that wrap
	// it say what to do.
	ErrUnavailable = errors.New("driver not available")
)

// SeedRoom is how many bytes the seed of a running machine may grow: by all that a
// node may take over from the host.
const SeedRoom = 640 << 10

// Driver runs machines. Its methods may be called concurrently for different
// machines, but not for the same one. A context limits the call, not the machine.
type Driver interface {
	// Name returns the driver's name: "lima" or "sandbox".
	Name() string
	// Describe says in one line what runs the machines, including the acceleration.
	Describe() string
	// Create creates what the machine keeps on disk. It is idempotent: an existing
	// disk is kept. A failed Create leaves nothing.
	Create(ctx context.Context, m machine.Machine) error
	// Start boots the machine with m's seed, CPUs and memory, and returns once
	// its process runs. Starting a running or paused machine does nothing; the
	// paused one stays paused. ErrNotFound if it was not created.
	Start(ctx context.Context, m machine.Machine) error
	// Reseed replaces what a running or paused machine reads when its guest boots
	// again without a Start. The seed may be SeedRoom bytes longer than that of
	// Start. Reseeding a machine without a process does nothing.
	Reseed(ctx context.Context, name string, seed []byte) error
	// Pause freezes a running machine, whose memory is kept, and returns once it
	// uses no CPU. A paused guest does not answer, and its clock is behind when it
	// is resumed. Pausing a paused machine does nothing. After a failed Pause the
	// machine runs. ErrNotFound if it has no process; errors.ErrUnsupported, with
	// what to do instead, if the driver cannot pause.
	Pause(ctx context.Context, name string) error
	// Resume lets a paused machine continue. Resuming a running machine does
	// nothing. ErrNotFound if it has no process.
	Resume(ctx context.Context, name string) error
	// Stop kills the machine's process, paused or not. The caller asks the guest to
	// shut down first. Stopping a stopped or absent machine does nothing.
	Stop(ctx context.Context, name string) error
	// Delete stops the machine and removes everything that belongs to it. Deleting
	// an absent machine does nothing.
	Delete(ctx context.Context, name string) error
	// State returns absent, stopped, running or paused.
	State(ctx context.Context, name string) (machine.State, error)
	// Wait blocks until the machine's process has ended and returns how: nil if
	// the guest turned itself off, an *ExitError otherwise. It returns at once if
	// the process has ended since its last Start. ErrNotFound if it was not
	// started, or was stopped by Stop. A paused machine has not ended; one that is
	// killed while it is paused may end only when it is resumed.
	Wait(ctx context.Context, name string) error
	// Usage returns what the machine uses on the host. The CPU time of a paused
	// machine does not grow. ErrNotFound if it is absent.
	Usage(ctx context.Context, name string) (machine.Usage, error)
	// Close stops all machines, also paused ones, and returns when their processes
	// have ended.
	Close() error
}

// Reasons of a stall.
const (
	// StallNoSpace: the host's file system with the machine's disk is full.
	StallNoSpace = "the host's disk is full"
	// StallDiskError: the host cannot read or write the machine's disk.
	StallDiskError = "the host cannot read or write its disk"
)

// StallReporter is implemented by drivers whose machines may stop by themselves
// when the host cannot carry out what they write. Such a machine is paused, and
// Resume lets it continue.
type StallReporter interface {
	// Stalled returns why the machine stopped by itself; empty if it did not, or
	// was paused as well.
	Stalled(name string) string
}

// ExitError is returned for a machine whose process ended by itself.
type ExitError struct {
	// Reason says how in one line: "signal: killed".
	Reason string
}

func (e *ExitError) Error() string { return e.Reason }
