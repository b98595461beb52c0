package network

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
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

func TestNetworkDialsOnlyTCPAndUDPToIPv4(t *testing.T) {
	n := &Network{}
	for _, c := range [][2]string{{"unix", "192.168.104.11:53"}, {"tcp6", "192.168.104.11:53"}, {"tcp", "[::1]:53"}, {"udp", "worker-1:53"}} {
		if _, err := n.DialContext(t.Context(), c[0], c[1]); err == nil {
			t.Errorf("dialed %s %s", c[0], c[1])
		}
	}
}
