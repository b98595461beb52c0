package sandbox

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// alone returns a machines' network without machines, and the address of a server in it
// that closes every connection.
func alone(t testing.TB) (*wire, string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	// Nobody speaks for the user-mode network.
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	owner := newThread()
	t.Cleanup(owner.close)
	w, err := newWire(owner, socket, netip.MustParsePrefix("192.168.104.3/24"), netip.MustParseAddr("192.168.104.2"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.close() })
	loopback, err := w.handle.LinkByName("lo")
	if err == nil {
		err = w.handle.LinkSetUp(loopback)
	}
	if err != nil {
		t.Fatal(err)
	}
	var server net.Listener
	if err := owner.do(func() (err error) {
		server, err = net.Listen("tcp4", "192.168.104.3:0")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	go func() {
		for {
			conn, err := server.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	return w, server.Addr().String()
}

func TestSocketsAreInTheNetwork(t *testing.T) {
	w, at := alone(t)
	conn, err := w.dial(t.Context(), "tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("the server: %d bytes, %v", n, err)
	}
	_ = conn.Close()
	if _, err := w.dial(t.Context(), "tcp", "192.168.104.3:1"); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("a port where nobody listens: %v", err)
	}
	for _, bad := range [][2]string{{"tcp", "192.168.104.3"}, {"tcp", "[::1]:80"}, {"sctp", at}} {
		if _, err := w.dial(t.Context(), bad[0], bad[1]); err == nil {
			t.Errorf("%v: accepted", bad)
		}
	}
}

func TestEchoRequestsAreAnsweredInTheNetwork(t *testing.T) {
	w, _ := alone(t)
	conn, err := w.dial(t.Context(), "icmp", "192.168.104.3:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	request := []byte{8, 0, 0, 0, 0, 0, 0, 7, 'h', 'e', 'l', 'l', 'o'} // the kernel sets checksum and identifier
	if _, err := conn.Write(request); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	reply := make([]byte, 100)
	n, err := conn.Read(reply)
	if err != nil || reply[0] != 0 || reply[7] != 7 || string(reply[8:n]) != "hello" {
		t.Errorf("reply % x, %v", reply[:n], err)
	}
}
