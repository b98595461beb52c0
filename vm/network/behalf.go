package network

import (
	"net"
	"net/netip"
	"slices"
)

// metadata6 is where a cloud serves an instance's metadata over IPv6.
var metadata6 = netip.MustParseAddr("fd00:ec2::254")

// AllowsHost reports whether the policy lets the host itself connect to an address
// for a machine, as the registry does when it gets an image. It is what machines may
// reach themselves, and the same over IPv6, which they do not have.
func (e Egress) AllowsHost(target netip.Addr) bool {
	target = target.Unmap()
	var own []netip.Addr
	if e == EgressPublic {
		all, err := net.InterfaceAddrs()
		if err != nil {
			return false
		}
		for _, a := range all {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				own = append(own, p.Addr().Unmap())
			}
		}
	}
	if target.Is4() {
		return e.allows(target, netip.Prefix{}, own)
	}
	if e == EgressNone || !target.IsGlobalUnicast() || target.WithZone("") == metadata6 {
		return false
	}
	return e != EgressPublic || !target.IsPrivate() && !slices.Contains(own, target)
}
