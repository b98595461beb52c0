// Package sandbox runs machines that are Linux namespaces of the host: the same
// root, first program and node document as in a virtual machine, at native
// speed, for hosts without virtualization and for tests. No machine outlives
// the process that started it; the host's own mounts, interfaces, routes and
// rules are never touched.
package sandbox

import (
	"net/netip"

	"github.com/skiff-dev/skiff/vm/machine"
)

// Name is the driver's.
const Name = "sandbox"

// Config of a Driver.
type Config struct {
	// Dir holds one directory for each machine.
	Dir string
	// Network is the unix socket at which machines join their network, in
	// QEMU's protocol.
	Network string
	// Address is the host's own in the machines' subnet, from which it reaches
	// them.
	Address netip.Prefix
	// Image is the node image; only its root is used.
	Image machine.Image
}
