// Package addressing derives a machine's other addresses from its IPv4 address, so
// that each of them determines the others and nobody has to announce them: the
// hardware address and, where machines have one, the IPv6 address. It also has what all
// ends of the machines' network must agree on.
package addressing

import "net/netip"

// prefix begins every machine's hardware address; the four bytes of its IPv4 address
// follow. It is locally administered, and the one that Lima uses.
var prefix = [2]byte{0x52, 0x55}

// Hardware returns the hardware address of the machine with an IPv4 address.
func Hardware(ipv4 netip.Addr) [6]byte {
	b := ipv4.As4()
	return [6]byte{prefix[0], prefix[1], b[0], b[1], b[2], b[3]}
}

// Machine returns the IPv4 address that belongs to a hardware address, and false if
// it is not a machine's.
func Machine(hardware [6]byte) (ipv4 netip.Addr, ok bool) {
	if [2]byte(hardware[:2]) != prefix {
		return netip.Addr{}, false
	}
	return netip.AddrFrom4([4]byte(hardware[2:])), true
}

// IPv6 returns the IPv6 address of the machine with an IPv4 address: the prefix of
// the machines' IPv6 subnet, a /96 or wider, and the IPv4 address in the last four
// bytes. It returns the zero Addr if either is invalid.
func IPv6(subnet netip.Prefix, ipv4 netip.Addr) netip.Addr {
	if !subnet.IsValid() || !ipv4.Is4() {
		return netip.Addr{}
	}
	b, low := subnet.Masked().Addr().As16(), ipv4.As4()
	copy(b[12:], low[:])
	return netip.AddrFrom16(b)
}
