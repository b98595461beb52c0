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
	// Grow enlarges the machine's own disk to at least that size, and never makes it
	// smaller. A running guest sees the new size at once, but its file system does not grow
	// before it boots. ErrNotFound if it was not created; errors.ErrUnsupported, with what to
	// do instead, if the driver cannot do that to a machine that has a process.
	Grow(ctx context.Context, name string, diskMiB int) error
	// Start boots the machine with m's seed, CPUs and memory, and returns once
	// its process runs. Starting a running or paused machine does nothing; the
	// paused one stays paused. Memory that was saved is discarded first. ErrNotFound if
	// it was not created.
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
	// State returns absent, stopped, running, paused or saved.
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

// Saver is implemented by drivers that can keep the memory of machines on disk while these
// have no process. Memory that was saved is used at most once, and never after the machine
// has run again: Start, Resume, Grow and Delete discard it, durably, before they do what
// they are for.
type Saver interface {
	// CanSave returns how many bytes on disk the memory of a machine with a process takes
	// at most. errors.ErrUnsupported if the driver cannot keep the memory of any machine on
	// this host; all other errors say in one clause why that of this machine cannot be kept.
	CanSave(ctx context.Context, name string) (bytes int64, err error)
	// Save writes the memory and the state of the devices of a paused machine to disk, and
	// returns once they survive a crash of the host. The machine stays paused; it is saved
	// once Stop or Close has ended it. Saving it again does nothing. After a failed Save, it
	// is paused, nothing is saved, and it must be resumed before it can be saved.
	// ErrNotFound if it has no process.
	Save(ctx context.Context, name string) error
	// Saved describes the saved memory of a machine without a process. ErrNotFound if there
	// is none.
	Saved(name string) (machine.Saved, error)
	// Wake starts a saved machine, with m's seed for its next boot, and lets it continue
	// where it was saved. It removes what was saved, durably, before the guest runs, and
	// returns then. An *UnusableError if the memory is damaged or does not fit to m; it is
	// kept until it is discarded. After any error, the machine has no process. ErrNotFound
	// if nothing is saved.
	Wake(ctx context.Context, m machine.Machine) error
	// Discard removes the saved memory of a machine and returns once it is gone from the
	// disk. Discarding what does not exist does nothing.
	Discard(ctx context.Context, name string) error
}

// Snapshotter is implemented by drivers that can copy machines and make machines of the copies.
// The copy of a machine is a directory in the file system of the machines, which its caller
// creates, protects from other users and removes. It is complete once Seal has returned.
type Snapshotter interface {
	// SnapshotBytes returns how many bytes on disk the copy of a machine with a process takes
	// at most. ErrNotFound if it has no process.
	SnapshotBytes(ctx context.Context, name string) (int64, error)
	// Precopy copies to dir what it can of a running machine, so that Capture has little to
	// do. ErrNotFound if it has no process.
	Precopy(ctx context.Context, name, dir string) error
	// Capture makes the copy in dir, which Precopy began, what a paused machine is now: its
	// disks and, if the driver can keep that, its memory. The machine stays paused, and must
	// be resumed before it is captured or saved again. ErrNotFound if it has no process.
	Capture(ctx context.Context, name, dir string) error
	// Seal computes the checksums of a copy that was captured and returns once it survives a
	// crash of the host. It does not need the machine.
	Seal(ctx context.Context, name, dir string) (machine.Snapshot, error)
	Unpacker
}

// Unpacker makes machines of the copies of a Snapshotter. It needs no open driver.
type Unpacker interface {
	// Unpack makes the machine of the copy in dir below machines, a directory in the same
	// file system that will take the place of the driver's own. There it is stopped, or saved
	// if memory is set and the copy has it, which may be of another cluster's machine. The copy
	// can be unpacked any number of times. A
	// *DamagedError if it is not what Seal left; damaged memory may be found only by Wake.
	Unpack(ctx context.Context, name, dir, machines string, memory bool) error
}

// DamagedError is returned for the copy of a machine that has changed.
type DamagedError struct {
	// Reason names the damage in one clause: "the checksum of its disk is wrong".
	Reason string
}

func (e *DamagedError) Error() string { return "the snapshot is damaged: " + e.Reason }

// UnusableError is returned for saved memory that cannot be used.
type UnusableError struct {
	// Reason says why in one clause: "the node image has changed".
	Reason string
}

func (e *UnusableError) Error() string { return "the saved memory cannot be used: " + e.Reason }

// ExitError is returned for a machine whose process ended by itself.
type ExitError struct {
	// Reason says how in one line: "signal: killed".
	Reason string
}

func (e *ExitError) Error() string { return e.Reason }
