package network

import (
	"bytes"
	"encoding/binary"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/internal/addressing"
)

var (
	testSubnet6 = netip.MustParsePrefix("fd73:6b69:6666::/64")
	testPods6   = netip.MustParsePrefix("fd73:6b69:6666:100::/56")
)

// ipv6Frame returns a frame with an IPv6 packet.
func ipv6Frame(from, to hardwareAddress, source, destination netip.Addr, next byte, body ...byte) []byte {
	frame := append(append(append([]byte{}, to[:]...), from[:]...), 0x86, 0xdd, 0x60, 0, 0, 0)
	frame = binary.BigEndian.AppendUint16(frame, uint16(len(body)))
	frame = append(append(append(frame, next, 64), source.AsSlice()...), destination.AsSlice()...)
	return append(frame, body...)
}

func TestGuardAdmitsIPv6OnlyBetweenMachinesWithATrueSender(t *testing.T) {
	one, two, gw := macOf(workerOne), macOf(workerTwo), gatewayHardware(t)
	group := hardwareAddress{0x33, 0x33, 0, 0, 0, 1}
	own, other := addressing.IPv6(testSubnet6, workerOne), addressing.IPv6(testSubnet6, workerTwo)
	pod, otherPod := netip.MustParseAddr("fd73:6b69:6666:101::2"), netip.MustParseAddr("fd73:6b69:6666:102::2")
	stranger := netip.MustParseAddr("2001:db8::1")
	const icmp, udp = headerICMPv6, protocolUDP
	for _, c := range []struct {
		name  string
		frame []byte
		want  bool
	}{
		{"to another machine", ipv6Frame(one, two, own, other, udp, 1), true},
		{"from a pod to another", ipv6Frame(one, two, pod, otherPod, udp, 1), true},
		{"from a pod to another machine", ipv6Frame(one, two, pod, other, udp, 1), true},
		{"echo request", ipv6Frame(one, two, own, other, icmp, 128, 0), true},
		{"packet too big", ipv6Frame(one, two, own, otherPod, icmp, 2, 0), true},
		{"fragment", ipv6Frame(one, two, pod, otherPod, headerFragment, udp, 0, 0, 1), true},
		{"another machine's address", ipv6Frame(one, two, other, other, udp, 1), false},
		{"a stranger's address", ipv6Frame(one, two, stranger, other, udp, 1), false},
		{"a link-local address", ipv6Frame(one, two, netip.MustParseAddr("fe80::1"), other, udp, 1), false},
		{"no address", ipv6Frame(one, two, netip.IPv6Unspecified(), other, udp, 1), false},
		{"loopback", ipv6Frame(one, two, netip.IPv6Loopback(), other, udp, 1), false},
		{"IPv4 in IPv6", ipv6Frame(one, two, netip.AddrFrom16(workerOne.As16()), other, udp, 1), false},
		{"to the outside", ipv6Frame(one, two, own, stranger, udp, 1), false},
		{"to loopback", ipv6Frame(one, two, own, netip.IPv6Loopback(), udp, 1), false},
		{"to a link-local address", ipv6Frame(one, two, own, netip.MustParseAddr("fe80::1"), udp, 1), false},
		{"to a group", ipv6Frame(one, group, own, netip.MustParseAddr("ff02::1"), udp, 1), false},
		{"to a group's hardware address", ipv6Frame(one, group, own, other, udp, 1), false},
		{"to the gateway", ipv6Frame(one, gw, own, other, udp, 1), false},
		{"the gateway's hardware address", ipv6Frame(gw, two, own, other, udp, 1), false},
		{"router advertisement", ipv6Frame(one, two, own, other, icmp, 134, 0), false},
		{"neighbour advertisement", ipv6Frame(one, two, own, other, icmp, 136, 0), false},
		{"redirect", ipv6Frame(one, two, own, other, icmp, 137, 0), false},
		{"options", ipv6Frame(one, two, own, other, headerHopByHop, icmp, 0), false},
		{"destination options", ipv6Frame(one, two, own, other, headerDestination, icmp, 0), false},
		{"routing header", ipv6Frame(one, two, own, other, headerRouting, icmp, 0), false},
		{"options in a fragment", ipv6Frame(one, two, own, other, headerFragment, headerDestination, 0), false},
		{"fragment in a fragment", ipv6Frame(one, two, own, other, headerFragment, headerFragment, 0), false},
		{"cut", ipv6Frame(one, two, own, other, udp)[:ethernetHeader+ipv6Header-1], false},
		{"another version", append(ipv6Frame(one, two, own, other, udp)[:ethernetHeader], make([]byte, ipv6Header)...), false},
	} {
		g := &guard{subnet: testSubnet, pods: testPods, subnet6: testSubnet6, pods6: testPods6, gateway: gw}
		if got := g.admit(&port{}, c.frame); got != c.want {
			t.Errorf("%s: admitted = %t, want %t", c.name, got, c.want)
		}
		g = &guard{subnet: testSubnet, pods: testPods, gateway: gw}
		if g.admit(&port{}, c.frame) {
			t.Errorf("%s: admitted in a network with IPv4 only", c.name)
		}
	}
}

func TestMachinesReachEachOtherOverIPv6(t *testing.T) {
	n := runConfig(t, newWorld(t), Config{Subnet: testSubnet, Pods: testPods, Subnet6: testSubnet6, Pods6: testPods6})
	one, two := macOf(workerOne), macOf(workerTwo)
	own, other := addressing.IPv6(testSubnet6, workerOne), addressing.IPv6(testSubnet6, workerTwo)
	sender, receiver := n.join(t), n.join(t)
	forged := ipv6Frame(one, two, other, other, protocolUDP, []byte("forged")...)
	true6 := ipv6Frame(one, two, own, other, protocolUDP, []byte("true")...)
	want := framed(true6)
	got := make([]byte, len(want))
	// The switch knows the receiver once it has sent something.
	if _, err := receiver.Write(framed(ipv6Frame(two, one, other, own, protocolUDP, 1))); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; {
		if _, err := sender.Write(framed(forged, true6)); err != nil {
			t.Fatal(err)
		}
		_ = receiver.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if _, err := io.ReadFull(receiver, got); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing arrived")
		}
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzGuard(f *testing.F) {
	one, two := macOf(workerOne), macOf(workerTwo)
	own, other := addressing.IPv6(testSubnet6, workerOne), addressing.IPv6(testSubnet6, workerTwo)
	f.Add(ipv6Frame(one, two, own, other, headerFragment, protocolUDP))
	f.Add(udpFrame(one, two, port80(workerOne), port80(workerTwo), "x"))
	gw := gatewayHardware(f)
	f.Fuzz(func(t *testing.T, frame []byte) {
		g := &guard{subnet: testSubnet, pods: testPods, subnet6: testSubnet6, pods6: testPods6, gateway: gw}
		if !g.admit(&port{}, frame) || binary.BigEndian.Uint16(frame[12:]) != typeIPv6 {
			return
		}
		machine, _ := machineAddress(hardwareAddress(frame[6:12]))
		source := netip.AddrFrom16([16]byte(frame[ethernetHeader+8:]))
		if source != addressing.IPv6(testSubnet6, machine) && !testPods6.Contains(source) {
			t.Errorf("machine %s speaks as %s", machine, source)
		}
	})
}
