package addressing

import (
	"net/netip"
	"testing"
)

func TestHardwareAddressLeadsBackToTheMachine(t *testing.T) {
	ipv4 := netip.MustParseAddr("192.168.104.21")
	hardware := Hardware(ipv4)
	if hardware != [6]byte{0x52, 0x55, 192, 168, 104, 21} {
		t.Errorf("got %x", hardware)
	}
	if got, ok := Machine(hardware); !ok || got != ipv4 {
		t.Errorf("got %v, %v", got, ok)
	}
	if got, ok := Machine([6]byte{0x5a, 0x94, 1, 2, 3, 4}); ok {
		t.Errorf("the address of another device is that of %v", got)
	}
}

func TestIPv6EndsWithTheIPv4Address(t *testing.T) {
	ipv4, subnet := netip.MustParseAddr("192.168.104.21"), netip.MustParsePrefix("fd73:6b69:6666::/64")
	if got := IPv6(subnet, ipv4); got != netip.MustParseAddr("fd73:6b69:6666::c0a8:6815") {
		t.Errorf("got %v", got)
	}
	if got := IPv6(netip.Prefix{}, ipv4); got.IsValid() {
		t.Errorf("without a subnet the address is %v", got)
	}
	if got := IPv6(subnet, netip.MustParseAddr("::1")); got.IsValid() {
		t.Errorf("an IPv6 address leads to %v", got)
	}
}
