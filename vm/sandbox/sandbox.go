// Package sandbox runs machines that are Linux namespaces of the host, with the
// same root file system, PID 1 and node document as a virtual machine, at native
// speed, for hosts without virtualization and for tests. No machine outlives the
// process that started it. The host's own mounts, interfaces, routes and firewall
// rules are never changed.
package sandbox

import (
	"net/netip"

	"github.com/skiff-dev/skiff/vm/machine"
)

// Name of the driver.
const Name = "sandbox"

// Config of a Driver.
type Config struct {
	// Dir holds one directory for each machine.
	Dir string
	// Network is the unix socket at which machines join their network, in
	// QEMU's protocol.
	Network string
	// Address is that of the host in the machines' subnet.
	Address netip.Prefix
	// Gateway is the address of the user-mode network in that subnet.
	Gateway netip.Addr
	// Image is the node image; only its root is used.
	Image machine.Image
}
