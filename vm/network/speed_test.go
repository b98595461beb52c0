package network

import (
	"io"
	"net"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
)

// BenchmarkTransfer measures how fast the host receives from a machine.
func BenchmarkTransfer(b *testing.B) {
	n := runNetwork(b, newWorld(b), EgressAll)
	one := newGuest(b, n, workerOne)
	listener, err := gonet.ListenTCP(one.stack, tcpip.FullAddress{NIC: 1, Addr: tcpipAddress(workerOne), Port: 80}, ipv4.ProtocolNumber)
	if err != nil {
		b.Fatal(err)
	}
	const size = 1 << 20
	go accepting(listener, func(conn net.Conn) {
		block := make([]byte, size)
		for {
			if _, err := conn.Write(block); err != nil {
				return
			}
		}
	})
	conn, err := n.DialContext(b.Context(), "tcp", port80(workerOne).String())
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(size)
	b.ResetTimer()
	block := make([]byte, size)
	for b.Loop() {
		if _, err := io.ReadFull(conn, block); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	_ = conn.Close()
}
