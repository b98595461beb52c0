// Package driver is the contract between a cluster and what runs its machines.
// Every driver passes the suite in package drivertest.
package driver

import (
	"context"
	"errors"

	"github.com/skiff-dev/skiff/vm/machine"
)

// Sentinels that every driver uses.
var (
	// ErrNotFound says that the machine is absent.
	ErrNotFound = errors.New("machine not found")
	// ErrUnavailable says that this host cannot run the driver, and what to do.
	ErrUnavailable = errors.New("driver not available")
)

// SeedRoom is by how many bytes the seed of a running machine may grow.
const SeedRoom = 4096

// Driver runs machines. Its methods may be called at once for different
// machines, not for the same one. A context bounds the call, never the machine.
type Driver interface {
	// Name is the driver's, for people: "lima", "sandbox".
	Name() string
	// Describe says in one line what runs the machines, acceleration included.
	Describe() string
	// Create makes what the machine keeps on disk. It is idempotent: a disk
	// that exists is kept. A failed Create leaves nothing.
	Create(ctx context.Context, m machine.Machine) error
	// Start boots the machine with m's seed, CPUs and memory, and returns once
	// its process runs. Starting a running machine does nothing, nor does
	// starting a paused one, which stays paused. ErrNotFound if it was not
	// created.
	Start(ctx context.Context, m machine.Machine) error
	// Reseed replaces what a running or paused machine reads when its guest boots
	// again without a Start; at most SeedRoom bytes longer than the seed of its
	// Start. Reseeding a machine that has no process does nothing.
	Reseed(ctx context.Context, name string, seed []byte) error
	// Pause freezes a running machine with all that it holds in memory, and
	// returns once it takes no processor time. Its guest does not notice, but
	// that its clock is behind when it goes on, and answers nobody meanwhile.
	// Pausing a paused machine does nothing. A Pause that fails leaves the machine
	// running. ErrNotFound if it has no process; errors.ErrUnsupported, and what
	// to do instead, if the driver cannot.
	Pause(ctx context.Context, name string) error
	// Resume lets a paused machine go on where it was. Resuming a running machine
	// does nothing. ErrNotFound if it has no process.
	Resume(ctx context.Context, name string) error
	// Stop ends the machine's process at once, paused or not; the caller asks the
	// guest to shut down first. Stopping a stopped or absent machine does nothing.
	Stop(ctx context.Context, name string) error
	// Delete stops the machine and removes all that it keeps. Deleting an
	// absent machine does nothing.
	Delete(ctx context.Context, name string) error
	// State is absent, stopped, running or paused.
	State(ctx context.Context, name string) (machine.State, error)
	// Wait blocks until the machine's process has ended, then says how: nil if
	// the guest turned itself off, an *ExitError otherwise. If the process has
	// ended since its last Start, Wait returns at once. ErrNotFound if it was
	// not started, or was stopped by Stop. To pause a machine is not its end; one
	// that is killed from outside meanwhile may end only when it is resumed.
	Wait(ctx context.Context, name string) error
	// Usage is what the machine takes on the host: of a paused one all that a
	// running one has, its processor time standing still. ErrNotFound if it is
	// absent.
	Usage(ctx context.Context, name string) (machine.Usage, error)
	// Close stops all machines, paused ones too, and returns when their processes
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

// ExitError says how a machine's process ended by itself.
type ExitError struct {
	// Reason is one line for people: "signal: killed".
	Reason string
}

func (e *ExitError) Error() string { return e.Reason }
