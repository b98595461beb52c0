// Package machine describes a node machine as plain data: all that a driver
// needs to run it, and nothing about Kubernetes.
package machine

import (
	"net/netip"
	"time"
)

// Machine is one node machine.
type Machine struct {
	// Name is unique in its cluster, a DNS label.
	Name string
	CPUs int
	// MemoryMiB is what the guest sees.
	MemoryMiB int
	// DiskMiB is the size of the node's own sparse disk.
	DiskMiB int

	Image Image
	// Address is the machine's for life.
	Address netip.Prefix
	// MAC is the link's hardware address, by which the guest finds it.
	MAC string
	// Seed is what the guest reads at boot to learn who it is; secret.
	Seed []byte
}

// Image is a node image: files on the host, shared by all machines, never
// written.
type Image struct {
	// Digest is the content's, "sha256:…"; another digest is another image.
	Digest string
	// KernelDigest is the kernel's alone.
	KernelDigest string
	// Arch is Go's name: amd64 or arm64.
	Arch      string
	Kernel    string
	Initramfs string
	// Root is the read-only erofs root.
	Root string
	// Cmdline is the kernel's command line.
	Cmdline string
}

// State is what a driver knows of a machine.
type State string

// The states.
const (
	// StateAbsent: no such machine.
	StateAbsent State = "absent"
	// StateStopped: its disk exists, nothing runs.
	StateStopped State = "stopped"
	// StateRunning: its process runs; says nothing of the guest.
	StateRunning State = "running"
	// StatePaused: its process keeps its memory and takes no processor time.
	StatePaused State = "paused"
)

// Usage is what a machine takes on the host.
type Usage struct {
	// MemoryMiB is the proportional set size of its process, 0 where it cannot
	// be read or nothing runs.
	MemoryMiB int
	// CPU is the processor time that it has taken since it started, 0 where it
	// cannot be read or nothing runs.
	CPU time.Duration
	// DiskBytes are the blocks that its files take.
	DiskBytes int64
	// Started is when the process began, zero when nothing runs.
	Started time.Time
}
