package runtest

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
)

// The range of FreePort. For outgoing connections and for listeners on port 0, the kernel
// chooses ports above 32767 (Linux) or 49151 (macOS), so nothing takes a port of this
// range by chance before the test uses it.
const (
	firstPort = 10000
	lastPort  = 29999
)

// FreePort returns a port of 127.0.0.1 that is in use for neither TCP nor UDP.
func FreePort(t testing.TB) uint16 {
	t.Helper()
	probe()
	for range 100 {
		port := uint16(firstPort + rand.IntN(lastPort-firstPort+1))
		if unused(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)) {
			return port
		}
	}
	t.Fatal("no free port on 127.0.0.1")
	return 0
}

// probe has package os find out now what this kernel can do with processes. It starts a child for
// that before the first process, without ForkLock, which unused relies on.
var probe = sync.OnceFunc(func() {
	if process, err := os.FindProcess(os.Getpid()); err == nil {
		_ = process.Release()
	}
})

// unused reports whether an address can be listened on, and leaves it so.
func unused(address netip.AddrPort) bool {
	// A process that is started meanwhile has the listeners, too, until it runs its program.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	tcp, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(address))
	if err != nil {
		return false
	}
	defer func() { _ = tcp.Close() }()
	udp, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(address))
	if err != nil {
		return false
	}
	return udp.Close() == nil
}
