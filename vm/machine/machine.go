// Package machine describes a node's machine as plain data: everything that a
// driver needs to run it, and nothing about Kubernetes.
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
	// Address never changes.
	Address netip.Prefix
	// MAC is the hardware address of the link, by which the guest identifies it.
	MAC string
	// Folders of the host that the guest can mount, in the order of the node document.
	Folders []Folder
	// Seed is the node document that the guest reads at boot; secret.
	Seed []byte
	// Settings is a digest of those parts of the seed that a guest reads only when it boots.
	// The memory of a machine with other settings cannot be used.
	Settings string
	// Inherited are the Settings in the memory of another cluster's machine that this one may
	// continue with; empty if there is none.
	Inherited string
}

// Folder is a folder of the host that a machine has.
type Folder struct {
	// Host is the absolute path on the host, Path the one on the node.
	Host, Path string
	// ReadOnly folders cannot be changed from the machine.
	ReadOnly bool
}

// Image is a node image: files on the host that all machines share and none
// writes.
type Image struct {
	// Digest of the whole content: "sha256:…".
	Digest string
	// KernelDigest is the digest of the kernel.
	KernelDigest string
	// Arch is Go's name of the architecture: amd64 or arm64.
	Arch      string
	Kernel    string
	Initramfs string
	// Root is the read-only root file system (erofs).
	Root string
	// Cmdline is the kernel command line.
	Cmdline string
}

// State is the state of a machine.
type State string

// The states.
const (
	// StateAbsent: no such machine.
	StateAbsent State = "absent"
	// StateStopped: its disk exists, and it has no process.
	StateStopped State = "stopped"
	// StateRunning: its process runs. The guest may be in any state.
	StateRunning State = "running"
	// StatePaused: its process keeps its memory and uses no CPU.
	StatePaused State = "paused"
	// StateSaved: it has no process, and its memory is on disk.
	StateSaved State = "saved"
)

// Saved describes the memory of a machine that is on disk.
type Saved struct {
	// Time is when it was saved; zero if that is unknown.
	Time time.Time
	// Bytes is the space that it takes on disk.
	Bytes int64
	// CPUs and MemoryMiB are those of the machine; 0 if they are unknown.
	CPUs, MemoryMiB int
}

// Snapshot describes the copy of a machine.
type Snapshot struct {
	// Memory is set if the copy has the memory, with which the machine continues.
	Memory bool `json:"memory,omitempty"`
	// NoMemory says in one clause why it has none; empty if the driver keeps no memory.
	NoMemory string `json:"noMemory,omitempty"`
	// Bytes is the space that the copy takes on disk.
	Bytes int64 `json:"bytes"`
}

// Usage is what a machine uses on the host.
type Usage struct {
	// MemoryMiB is the proportional set size of its process; 0 if it cannot be
	// read or there is no process.
	MemoryMiB int
	// CPU is the CPU time since it started; 0 if it cannot be read or there is no
	// process.
	CPU time.Duration
	// DiskBytes is the disk space of its files.
	DiskBytes int64
	// Started is when the process started; zero if there is none.
	Started time.Time
}
