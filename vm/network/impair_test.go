package network

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/network/impair"
)

// listen echoes what connections to a port of the guest send.
func (g *guest) listen(t *testing.T, port uint16) {
	t.Helper()
	listener, err := gonet.ListenTCP(g.stack, tcpip.FullAddress{NIC: 1, Addr: tcpipAddress(g.address), Port: port}, ipv4.ProtocolNumber)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(conn, conn) }()
		}
	}()
}

// reached reports whether the host reaches a port of a machine within a while.
func reached(t *testing.T, n *Network, to string, within time.Duration) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	conn, err := n.DialContext(ctx, "tcp", to)
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	return echoes(conn, "hello")
}

func TestPartitionedMachineAnswersOnlyAtTheNodeAPI(t *testing.T) {
	n := runNetwork(t, newWorld(t), EgressAll)
	one, two := newGuest(t, n, workerOne), newGuest(t, n, workerTwo)
	for _, g := range []*guest{one, two} {
		g.listen(t, 80)
		g.listen(t, nodeconfig.PortNodeAPI)
	}
	api := fmt.Sprintf("%s:%d", workerOne, nodeconfig.PortNodeAPI)
	const patience, impatience = time.Minute, 500 * time.Millisecond
	if !reached(t, n, "192.168.104.21:80", patience) || !reached(t, n, "192.168.104.22:80", patience) {
		t.Fatal("the machines do not answer at all")
	}
	if err := n.Impair(impair.Links{workerOne: {Cuts: 1}}); err != nil {
		t.Fatal(err)
	}
	if reached(t, n, "192.168.104.21:80", impatience) {
		t.Error("the host reaches the machine")
	}
	for _, g := range []*guest{one, two} {
		other := map[*guest]*guest{one: two, two: one}[g]
		ctx, cancel := context.WithTimeout(t.Context(), impatience)
		if _, err := g.dialTCP(ctx, port80(other.address)); err == nil {
			t.Errorf("%s reaches %s", g.address, other.address)
		}
		cancel()
	}
	ctx, cancel := context.WithTimeout(t.Context(), impatience)
	defer cancel()
	if _, err := one.dialTCP(ctx, port80(somewhere)); err == nil {
		t.Error("the machine reaches the outside")
	}
	if !reached(t, n, api, patience) {
		t.Error("the host does not reach the node API")
	}
	if !reached(t, n, "192.168.104.22:80", patience) {
		t.Error("the host does not reach the other machine")
	}
	if err := n.Impair(nil); err != nil {
		t.Fatal(err)
	}
	if !reached(t, n, "192.168.104.21:80", patience) {
		t.Error("the machine is cut off after the end of the partition")
	}
}

func TestLatencyAndLossOfAMachine(t *testing.T) {
	n := runNetwork(t, newWorld(t), EgressAll)
	newGuest(t, n, workerOne).listen(t, 80)
	if !reached(t, n, "192.168.104.21:80", time.Minute) {
		t.Fatal("the machine does not answer at all")
	}
	const delay = 150 * time.Millisecond
	if err := n.Impair(impair.Links{workerOne: {Delay: delay}}); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if !reached(t, n, "192.168.104.21:80", time.Minute) {
		t.Error("the machine does not answer")
	}
	// One round trip for the connection, and one for the echo.
	if took := time.Since(begun); took < 2*delay {
		t.Errorf("the answer took only %s", took)
	}
	if err := n.Impair(impair.Links{workerOne: {Loss: 1}}); err != nil {
		t.Fatal(err)
	}
	if reached(t, n, "192.168.104.21:80", 300*time.Millisecond) {
		t.Error("the machine answers although all frames are lost")
	}
}
