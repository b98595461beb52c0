package network

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"
)

var offered = netip.AddrPortFrom(gateway, 7000)

func listenAtGateway(t *testing.T, n *Network) net.Listener {
	t.Helper()
	listener, err := n.Listen(offered.Port())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener
}

func TestMachinesReachAServiceAtTheGatewayAsThemselves(t *testing.T) {
	n := runNetwork(t, newWorld(t), EgressNone)
	listener := listenAtGateway(t, n)
	if listener.Addr().String() != offered.String() {
		t.Errorf("listens on %s, want %s", listener.Addr(), offered)
	}
	clients := make(chan string, 2)
	go accepting(listener, func(conn net.Conn) {
		clients <- conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().String()
		go echo(conn)
	})
	for _, machine := range []netip.Addr{workerOne, workerTwo} {
		conn, err := newGuest(t, n, machine).dialTCP(t.Context(), offered)
		if err != nil || !echoes(conn, "hello") {
			t.Fatalf("%s: %v", machine, err)
		}
		if got := <-clients; got != machine.String() {
			t.Errorf("accepted from %s, want %s", got, machine)
		}
		_ = conn.Close()
	}
}

func TestOneMachineDoesNotUseUpAServiceAtTheGateway(t *testing.T) {
	n := runNetwork(t, newWorld(t), EgressNone)
	listener := listenAtGateway(t, n)
	accepted := make(chan net.Conn, 2*maxServed)
	go accepting(listener, func(conn net.Conn) { accepted <- conn })
	greedy := newGuest(t, n, workerOne)
	var first net.Conn
	for range maxServed {
		conn, err := greedy.dialTCP(t.Context(), offered)
		if err != nil {
			t.Fatal(err)
		}
		served := <-accepted
		if first == nil {
			first = served
		}
		defer func() { _, _ = conn.Close(), served.Close() }()
	}
	over, err := greedy.dialTCP(t.Context(), offered)
	if err == nil {
		_ = over.SetReadDeadline(time.Now().Add(time.Minute))
		_, err = over.Read(make([]byte, 1))
	}
	var late net.Error
	if err == nil || errors.As(err, &late) && late.Timeout() {
		t.Errorf("one connection too many: %v, want it closed", err)
	}
	if _, err := newGuest(t, n, workerTwo).dialTCP(t.Context(), offered); err != nil {
		t.Errorf("another machine: %v", err)
	}
	_ = (<-accepted).Close()
	_, _ = first.Close(), first.Close()
	if _, err := greedy.dialTCP(t.Context(), offered); err != nil {
		t.Errorf("after one has ended: %v", err)
	}
	select {
	case <-accepted:
	case <-time.After(time.Minute):
		t.Error("after one has ended: not accepted")
	}
}

func TestAPortOfTheGatewayIsFreeAfterItsListenerWasClosed(t *testing.T) {
	n := runNetwork(t, newWorld(t), EgressNone)
	listener := listenAtGateway(t, n)
	if second, err := n.Listen(offered.Port()); err == nil {
		_ = second.Close()
		t.Error("two listeners on one port")
	}
	ended := make(chan error, 1)
	go func() {
		_, err := listener.Accept()
		ended <- err
	}()
	if err := listener.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept = %v, want net.ErrClosed", err)
	}
	again, err := n.Listen(offered.Port())
	if err != nil {
		t.Fatal(err)
	}
	_ = again.Close()
}

func TestAcceptEndsWithTheNetwork(t *testing.T) {
	n, err := newNetwork(Config{Socket: t.TempDir() + "/net.sock", Subnet: testSubnet, Pods: testPods}, newWorld(t).dial)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := n.Listen(offered.Port())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := listener.Accept()
		ended <- err
	}()
	cancel()
	if err := n.Run(ctx); err != nil {
		t.Error(err)
	}
	select {
	case err := <-ended:
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept = %v, want net.ErrClosed", err)
		}
	case <-time.After(time.Minute):
		t.Error("Accept does not return")
	}
}

func TestConnectionsDoNotKeepAPort(t *testing.T) {
	n := runNetwork(t, newWorld(t), EgressNone)
	guest := newGuest(t, n, workerOne)
	for range 3 {
		listener, err := n.Listen(offered.Port())
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan net.Conn, 2)
		go accepting(listener, func(conn net.Conn) { served <- conn })
		for range 2 {
			if _, err := guest.dialTCP(t.Context(), offered); err != nil {
				t.Fatal(err)
			}
		}
		_ = (<-served).Close() // the client keeps its end of it open, and the other one is open
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMachinesReachAServiceAtAnAddressOfItsOwn(t *testing.T) {
	n := runNetwork(t, newWorld(t), EgressNone)
	own := netip.AddrPortFrom(netip.MustParseAddr("192.168.104.200"), 80)
	reach := func(g *guest, within time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		conn, err := g.dialTCP(ctx, own)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		if !echoes(conn, "hello") {
			return errors.New("no echo")
		}
		return nil
	}
	if err := reach(newGuest(t, n, workerTwo), 2*time.Second); err == nil {
		t.Error("the address answers before anything listens")
	}
	one := newGuest(t, n, workerOne)
	for _, port := range []uint16{80, 81} {
		listener, err := n.ListenAt(own.Addr(), port)
		if err != nil {
			t.Fatal(err)
		}
		go accepting(listener, func(conn net.Conn) { go echo(conn) })
		if port == 81 {
			_ = listener.Close()
		} else {
			t.Cleanup(func() { _ = listener.Close() })
		}
		if err := reach(one, time.Minute); err != nil {
			t.Errorf("with a listener at port %d: %v", port, err)
		}
	}
	if listener, err := n.ListenAt(netip.MustParseAddr("192.0.2.1"), 80); err == nil {
		_ = listener.Close()
		t.Error("listens at an address of another network")
	}
	if n.own.give(own.Addr()); n.own.has(own.Addr()) {
		t.Error("the gateway keeps an address without listeners")
	}
}
