package machine

import "net/netip"

// Route leads from the host to addresses behind a machine, such as those of its
// pods.
type Route struct {
	Destination netip.Prefix
	// Via is the machine's own address.
	Via netip.Addr
}
