package network

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

func TestGatewayHasTheSubnetsSecondAddress(t *testing.T) {
	if got := Gateway(netip.MustParsePrefix("192.168.104.0/24")); got != netip.MustParseAddr("192.168.104.2") {
		t.Errorf("gateway %s", got)
	}
}

// flakyListener fails its first Accepts, as when the process is out of descriptors.
type flakyListener struct {
	net.Listener
	failures int
}

func (f *flakyListener) Accept() (net.Conn, error) {
	if f.failures > 0 {
		f.failures--
		return nil, syscall.EMFILE
	}
	return f.Listener.Accept()
}

func TestMachinesJoinAfterAcceptFailed(t *testing.T) {
	n, err := newNetwork(Config{
		Socket: filepath.Join(t.TempDir(), "net.sock"), Subnet: testSubnet, Pods: testPods, Log: slog.New(slog.DiscardHandler),
	}, newWorld(t).dial)
	if err != nil {
		t.Fatal(err)
	}
	n.listener = &flakyListener{Listener: n.listener, failures: 2}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	conn, err := newGuest(t, n, workerOne).dialTCP(ctx, port80(somewhere))
	if err != nil || !echoes(conn, "hello") {
		t.Errorf("after failed accepts: %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run = %v", err)
	}
}

func TestNetworkLeavesNoSocketAndDisconnectsMachines(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "net.sock")
	if err := os.WriteFile(socket, nil, 0o600); err != nil { // a dead daemon's
		t.Fatal(err)
	}
	n, err := New(Config{Socket: socket, Subnet: netip.MustParsePrefix("192.168.104.0/24"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(socket)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket: %v, %v", info, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	machine, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run = %v", err)
	}
	if _, err := machine.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && err == nil {
		t.Error("the machine is still connected")
	}
	if _, err := os.Stat(socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("socket after Run: %v", err)
	}
}

func TestNetworkDialsOnlyTCP(t *testing.T) {
	n := &Network{}
	if _, err := n.DialContext(t.Context(), "udp", "192.168.104.11:53"); err == nil {
		t.Error("dialed UDP")
	}
}

// backend says its name to whoever connects, and echoes.
func backend(t *testing.T, name string) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
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
			go func() {
				defer func() { _ = conn.Close() }()
				_, _ = conn.Write([]byte(name + "\n"))
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
	return listener.Addr().String()
}

func newFront(t *testing.T) (*Front, func() (string, net.Conn)) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &Front{Listener: listener, Dial: (&net.Dialer{}).DialContext}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	return f, func() (string, net.Conn) {
		conn, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		name, _ := bufio.NewReader(conn).ReadString('\n')
		return name, conn
	}
}

func TestFrontSkipsABackendThatDoesNotAnswerAndStaysWithTheOneThatDid(t *testing.T) {
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = dead.Close()
	f, connect := newFront(t)
	second := backend(t, "second")
	f.SetBackends([]string{dead.Addr().String(), second})
	if name, _ := connect(); name != "second\n" {
		t.Errorf("reached %q", name)
	}
	f.SetBackends([]string{backend(t, "first"), second})
	if name, _ := connect(); name != "second\n" {
		t.Errorf("reached %q, want the one that answered last", name)
	}
	if got := f.order(); !slices.Equal(got[:1], []string{second}) {
		t.Errorf("order %v", got)
	}
}

func TestFrontLeavesTheEndOfAConnectionToAPartingBackend(t *testing.T) {
	f, connect := newFront(t)
	first, second := backend(t, "first"), backend(t, "second")
	echoes := func(conn net.Conn) bool {
		answer := make([]byte, 2)
		_, err := conn.Write([]byte("hi"))
		if err == nil {
			_, err = io.ReadFull(conn, answer)
		}
		return err == nil
	}
	f.SetBackends([]string{first, second})
	name, conn := connect()
	if name != "first\n" {
		t.Fatalf("reached %q", name)
	}
	f.SetBackends([]string{second}, first)
	if name, _ := connect(); name != "second\n" {
		t.Errorf("reached %q, want the one that stays", name)
	}
	if !echoes(conn) {
		t.Error("the connection to the parting backend has ended")
	}
	f.SetBackends([]string{second})
	if echoes(conn) {
		t.Error("the connection goes on though its backend is none")
	}
}

func TestFrontClosesTheClientWhenNoBackendAnswers(t *testing.T) {
	_, connect := newFront(t)
	if name, conn := connect(); name != "" {
		t.Errorf("reached %q at %s", name, conn.RemoteAddr())
	}
}

func TestFrontPassesTheEndOfOneDirectionOn(t *testing.T) {
	f, connect := newFront(t)
	f.SetBackends([]string{backend(t, "echo")})
	_, conn := connect()
	if _, err := conn.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(conn); string(rest) != "hello" || err != nil {
		t.Errorf("echo %q, %v", rest, err)
	}
}
