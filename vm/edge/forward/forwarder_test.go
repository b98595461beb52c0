package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/internal/runtest"
	"github.com/skiff-dev/skiff/vm/cluster"
)

// backend echoes over TCP and UDP on one port of this host, and counts connections.
type backend struct {
	at          netip.AddrPort
	connections atomic.Int64
}

func newBackend(t *testing.T) *backend {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{at: netip.MustParseAddrPort(listener.Addr().String())}
	packets, err := net.ListenPacket("udp4", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = listener.Close()
		_ = packets.Close()
	})
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			b.connections.Add(1)
			go func() {
				_, _ = io.Copy(conn, conn)
				_ = conn.Close()
			}()
		}
	}()
	go func() {
		buffer := make([]byte, maxDatagram)
		for {
			n, from, err := packets.ReadFrom(buffer)
			if err != nil {
				return
			}
			_, _ = packets.WriteTo(buffer[:n], from)
		}
	}()
	return b
}

// open returns a forwarder that remembers in a file.
func open(t *testing.T, file string) *Forwarder {
	t.Helper()
	f, err := New(Config{
		File: file, Dial: (&net.Dialer{}).DialContext, Log: slog.New(slog.DiscardHandler),
		Resolve: func(_ context.Context, namespace, name string) (netip.Addr, error) {
			if namespace == "shop" && name == "db-0" {
				return loopback, nil
			}
			return netip.Addr{}, errors.New("no such pod")
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

func newForwarder(t *testing.T) *Forwarder {
	return open(t, filepath.Join(t.TempDir(), "services.json"))
}

func (f *Forwarder) apply(t *testing.T, all ...Listener) map[string]State {
	t.Helper()
	if err := f.Apply(t.Context(), all, nil, true); err != nil {
		t.Fatal(err)
	}
	return f.States()
}

func leadsTo(backends ...*backend) Target {
	var target Target
	for _, b := range backends {
		target.Addresses = append(target.Addresses, b.at)
	}
	return target
}

func dial(t *testing.T, network string, port uint16) net.Conn {
	t.Helper()
	conn, err := net.Dial(network, netip.AddrPortFrom(loopback, port).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func echoes(conn net.Conn, text string) bool {
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(conn, text); err != nil {
		return false
	}
	answer := make([]byte, len(text))
	_, err := io.ReadFull(conn, answer)
	return err == nil && string(answer) == text
}

func TestConnectionsAndDatagramsAreForwarded(t *testing.T) {
	f, b := newForwarder(t), newBackend(t)
	tcp := Listener{ID: "tcp", Protocol: cluster.ProtocolTCP, Address: loopback, Port: runtest.FreePort(t), Target: leadsTo(b)}
	udp := Listener{ID: "udp", Protocol: cluster.ProtocolUDP, Address: loopback, Port: runtest.FreePort(t), Target: leadsTo(b)}
	states := f.apply(t, tcp, udp)
	conn := dial(t, "tcp", states["tcp"].Bound)
	if !echoes(conn, strings.Repeat("hello", 100000)) {
		t.Error("TCP: no echo")
	}
	_ = conn.(*net.TCPConn).CloseWrite()
	if rest, err := io.ReadAll(conn); len(rest) > 0 || err != nil {
		t.Errorf("TCP: the end is %q, %v", rest, err)
	}
	for range 3 {
		client := dial(t, "udp", states["udp"].Bound)
		if !echoes(client, "one") || !echoes(client, strings.Repeat("x", 60000)) {
			t.Error("UDP: no echo")
		}
	}
}

func TestTenThousandShortConnectionsLoseNothing(t *testing.T) {
	f, b := newForwarder(t), newBackend(t)
	l := Listener{ID: "l", Protocol: cluster.ProtocolTCP, Address: loopback, Port: runtest.FreePort(t), Target: leadsTo(b)}
	port := f.apply(t, l)["l"].Bound
	var clients sync.WaitGroup
	var lost atomic.Int64
	for range 20 {
		clients.Go(func() {
			for i := range 500 {
				conn, err := net.Dial("tcp4", netip.AddrPortFrom(loopback, port).String())
				if err != nil || !echoes(conn, fmt.Sprint("request ", i)) {
					lost.Add(1)
				}
				if conn != nil {
					_ = conn.(*net.TCPConn).SetLinger(0) // no 10,000 sockets in TIME_WAIT
					_ = conn.Close()
				}
				if i%100 == 0 { // nothing that the cluster does meanwhile disturbs them
					_ = f.Apply(t.Context(), []Listener{l}, nil, true)
				}
			}
		})
	}
	clients.Wait()
	if n := lost.Load(); n > 0 {
		t.Errorf("%d of 10,000 lost", n)
	}
	for deadline := time.Now().Add(time.Minute); len(f.shared.slots) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d slots are still taken", len(f.shared.slots))
		}
	}
}

func TestConnectionsOutliveChangesOfTheirTarget(t *testing.T) {
	f, first, second := newForwarder(t), newBackend(t), newBackend(t)
	l := Listener{ID: "l", Protocol: cluster.ProtocolTCP, Address: loopback, Port: runtest.FreePort(t), Target: leadsTo(first)}
	port := f.apply(t, l)["l"].Bound
	old := dial(t, "tcp", port)
	if !echoes(old, "before") {
		t.Fatal("no echo")
	}
	l.Target = leadsTo(second)
	f.apply(t, l)
	if !echoes(old, "after") || second.connections.Load() != 0 {
		t.Error("the connection was ended or moved")
	}
	if !echoes(dial(t, "tcp", port), "new") || second.connections.Load() != 1 {
		t.Error("a new connection does not lead to the new target")
	}
	f.apply(t)
	_ = old.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := old.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after the listener is gone: %v", err)
	}
	if conn, err := net.Dial("tcp4", netip.AddrPortFrom(loopback, port).String()); err == nil {
		_ = conn.Close()
		t.Error("it still listens")
	}
}

func TestAddressThatIsDownIsPassedOver(t *testing.T) {
	f, b := newForwarder(t), newBackend(t)
	target := leadsTo(b)
	target.Addresses = append([]netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), runtest.FreePort(t))}, target.Addresses...)
	port := f.apply(t, Listener{ID: "l", Protocol: cluster.ProtocolTCP, Address: loopback, Port: runtest.FreePort(t), Target: target})["l"].Bound
	if !echoes(dial(t, "tcp", port), "hello") {
		t.Error("no echo")
	}
	if order := f.shared.dialer.order(target, time.Now()); order[0] != b.at {
		t.Errorf("the next attempts are %v", order)
	}
	if order := f.shared.dialer.order(target, time.Now().Add(suspicion)); order[0] == b.at {
		t.Errorf("later the attempts are %v", order)
	}
}

func TestConnectionIsResetIfNothingAnswers(t *testing.T) {
	f := newForwarder(t)
	port := f.apply(t, Listener{ID: "l", Protocol: cluster.ProtocolTCP, Address: loopback, Port: runtest.FreePort(t)})["l"].Bound
	conn, err := net.Dial("tcp", netip.AddrPortFrom(loopback, port).String())
	if err == nil { // else it was reset before Dial returned
		defer conn.Close()
		_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
		_, err = conn.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%v, want a reset", err)
	}
}

func TestPodIsLookedUpForEachConnection(t *testing.T) {
	f, b := newForwarder(t), newBackend(t)
	target := Target{PodPort: b.at.Port()}
	target.Pod.Namespace, target.Pod.Name = "shop", "db-0"
	port := f.apply(t, Listener{ID: "l", Protocol: cluster.ProtocolTCP, Address: loopback, Port: runtest.FreePort(t), Target: target})["l"].Bound
	if !echoes(dial(t, "tcp", port), "hello") {
		t.Error("no echo")
	}
}

func TestSpreadTargetsTakeTurns(t *testing.T) {
	f, first, second := newForwarder(t), newBackend(t), newBackend(t)
	target := leadsTo(first, second)
	target.Spread = true
	port := f.apply(t, Listener{ID: "l", Protocol: cluster.ProtocolTCP, Address: loopback, Port: runtest.FreePort(t), Target: target})["l"].Bound
	for range 10 {
		if !echoes(dial(t, "tcp", port), "hello") {
			t.Fatal("no echo")
		}
	}
	if a, b := first.connections.Load(), second.connections.Load(); a != 5 || b != 5 {
		t.Errorf("%d and %d connections", a, b)
	}
}

func TestTakenPortIsReplacedAndKept(t *testing.T) {
	file := filepath.Join(t.TempDir(), "services.json")
	f, b := open(t, file), newBackend(t)
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	wanted := uint16(taken.Addr().(*net.TCPAddr).Port)
	l := Listener{ID: "l", Protocol: cluster.ProtocolTCP, Address: loopback, Port: wanted, Target: leadsTo(b)}
	fixed := Listener{ID: "fixed", Protocol: cluster.ProtocolTCP, Address: loopback, Port: wanted, Fixed: true, Target: leadsTo(b)}
	states := f.apply(t, l, fixed)
	got, why := states["l"].Bound, states["l"].Reason
	if got == 0 || got == wanted || why != fmt.Sprintf("port %d on 127.0.0.1 is in use", wanted) {
		t.Fatalf("port %d, %q", got, why)
	}
	if s := states["fixed"]; s.Bound != 0 || s.Reason != why {
		t.Errorf("a fixed port: %+v", s)
	}
	_ = taken.Close()
	if s := f.apply(t, l, fixed)["fixed"]; s.Bound != wanted {
		t.Errorf("a fixed port that became free: %+v", s)
	}
	f.Close()
	again := open(t, file)
	if s := again.apply(t, l)["l"]; s.Bound != got || s.Reason != why || !s.Taken {
		t.Errorf("after a restart %+v, want port %d", s, got)
	}
	again.apply(t)
	if again.memory.Ports["l"].Port != 0 {
		t.Error("the port of a service that is gone is remembered")
	}
}

func TestListenersOfOnePortNameEachOther(t *testing.T) {
	f := newForwarder(t)
	port := runtest.FreePort(t)
	states := f.apply(t,
		Listener{ID: "service a/x 1/tcp", Protocol: cluster.ProtocolTCP, Address: loopback, Port: port},
		Listener{ID: "service b/x 1/tcp", Protocol: cluster.ProtocolTCP, Address: loopback, Port: port},
		Listener{ID: "address b/x 1/tcp", Protocol: cluster.ProtocolTCP, Address: netip.MustParseAddr("127.80.0.9"), Port: port},
	)
	if states["service a/x 1/tcp"].Bound != port || states["address b/x 1/tcp"].Bound != port {
		t.Errorf("%+v", states)
	}
	if s := states["service b/x 1/tcp"]; s.Bound == port || s.Taken || !strings.HasSuffix(s.Reason, "is used by service a/x 1/tcp") {
		t.Errorf("%+v", s)
	}
}

func TestConnectionsToLostMachineEnd(t *testing.T) {
	f, b := newForwarder(t), newBackend(t)
	l := Listener{ID: "l", Protocol: cluster.ProtocolTCP, Address: loopback, Port: runtest.FreePort(t), Target: leadsTo(b)}
	conn := dial(t, "tcp", f.apply(t, l)["l"].Bound)
	if !echoes(conn, "hello") {
		t.Fatal("no echo")
	}
	f.Lost([]netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")})
	if !echoes(conn, "another machine") {
		t.Error("another machine's end ended it")
	}
	f.Lost([]netip.Prefix{netip.PrefixFrom(loopback, 32)})
	if echoes(conn, "its machine") {
		t.Error("it did not end with its machine")
	}
}

func TestConnectionsWaitForASlot(t *testing.T) {
	f, b := newForwarder(t), newBackend(t)
	f.shared.slots = make(chan struct{}, 2)
	port := f.apply(t, Listener{ID: "l", Protocol: cluster.ProtocolTCP, Address: loopback, Port: runtest.FreePort(t), Target: leadsTo(b)})["l"].Bound
	first, second, third := dial(t, "tcp", port), dial(t, "tcp", port), dial(t, "tcp", port)
	if !echoes(first, "1") || !echoes(second, "2") {
		t.Fatal("no echo")
	}
	_, _ = io.WriteString(third, "3")
	_ = third.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if _, err := third.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("without a slot: %v", err)
	}
	_ = first.Close()
	_ = third.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := third.Read(make([]byte, 1)); err != nil {
		t.Errorf("with a slot: %v", err)
	}
}

func TestFlowsFollowTheirTarget(t *testing.T) {
	f, first, second := newForwarder(t), newBackend(t), newBackend(t)
	l := Listener{ID: "l", Protocol: cluster.ProtocolUDP, Address: loopback, Port: runtest.FreePort(t), Target: leadsTo(first)}
	conn := dial(t, "udp", f.apply(t, l)["l"].Bound)
	if !echoes(conn, "before") {
		t.Fatal("no echo")
	}
	l.Target = leadsTo(second)
	f.apply(t, l)
	// A datagram that is sent during the change may be lost, and echoes waits five
	// seconds for it.
	for deadline := time.Now().Add(30 * time.Second); !echoes(conn, "after"); {
		if time.Now().After(deadline) {
			t.Fatal("no echo after the target changed")
		}
	}
}

func TestNewerMemoryIsNotChanged(t *testing.T) {
	file := filepath.Join(t.TempDir(), "services.json")
	if err := os.WriteFile(file, []byte(`{"version": 99}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{File: file, Log: slog.New(slog.DiscardHandler)}); !errors.Is(err, errNewer) {
		t.Errorf("New = %v", err)
	}
	if content, err := os.ReadFile(file); err != nil || string(content) != `{"version": 99}` {
		t.Errorf("the file is %q, %v", content, err)
	}
	if err := os.WriteFile(file, []byte(`damaged`), 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, file)
}
