package network

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// Egress is what machines may reach outside of the cluster.
type Egress string

// The egress policies. None of them ever reaches the host's loopback, link-local
// or multicast addresses, or the metadata services of cloud providers.
const (
	// EgressAll reaches whatever the host reaches; it is the default.
	EgressAll Egress = "all"
	// EgressPublic reaches public addresses only: neither private networks nor
	// the host itself.
	EgressPublic Egress = "public"
	// EgressNone reaches nothing. Names are still resolved.
	EgressNone Egress = "none"
)

// Egresses lists the policies.
func Egresses() []Egress { return []Egress{EgressAll, EgressPublic, EgressNone} }

// neverOnAWire are addresses that no packet from a machine may be sent to: "this
// host", which the host's kernel connects to its own loopback, loopback itself,
// and reserved addresses including broadcast (RFC 6890).
var neverOnAWire = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("240.0.0.0/4"),
}

// neverOutside are destinations that exist for the host alone.
var neverOutside = []netip.Prefix{
	netip.MustParsePrefix("169.254.0.0/16"),     // link-local, metadata of most clouds
	netip.MustParsePrefix("224.0.0.0/4"),        // multicast
	netip.MustParsePrefix("168.63.129.16/32"),   // Azure's platform services
	netip.MustParsePrefix("100.100.100.200/32"), // Alibaba Cloud's metadata
	netip.MustParsePrefix("192.0.0.192/32"),     // Oracle Cloud's metadata
}

// metadata6 is where a cloud serves an instance's metadata over IPv6.
var metadata6 = netip.MustParseAddr("fd00:ec2::254")

// private are the address ranges beside RFC 1918 that are not public (RFC 6890).
var private = []netip.Prefix{
	netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
}

// allows reports whether machines may reach target. own are the host's addresses.
func (e Egress) allows(target netip.Addr, subnet netip.Prefix, own []netip.Addr) bool {
	in := func(p netip.Prefix) bool { return p.Contains(target) }
	if e == EgressNone || !target.Is4() || subnet.Contains(target) ||
		slices.ContainsFunc(neverOnAWire, in) || slices.ContainsFunc(neverOutside, in) {
		return false
	}
	return e != EgressPublic ||
		!target.IsPrivate() && !slices.ContainsFunc(private, in) && !slices.Contains(own, target)
}

// AllowsHost reports whether the policy lets the host itself connect to an address
// for a machine, as the registry does to pull an image. The host may reach what the
// machine may, and the same over IPv6, which machines do not have.
func (e Egress) AllowsHost(target netip.Addr) bool {
	target = target.Unmap()
	var own []netip.Addr
	if e == EgressPublic {
		var err error
		if own, err = hostAddresses(); err != nil {
			return false
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

// hostAddresses returns the addresses of the host's interfaces.
func hostAddresses() ([]netip.Addr, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list the host's addresses: %w", err)
	}
	var own []netip.Addr
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			own = append(own, p.Addr().Unmap())
		}
	}
	return own, nil
}
