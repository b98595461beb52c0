package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// enter moves the calling thread into the network's namespace.
func (w *wire) enter() error { return unix.Setns(int(w.namespace.Fd()), unix.CLONE_NEWNET) }

// kinds are the types and protocols of sockets. One of ICMP sends echo requests and
// receives the replies to them (icmp(7)).
var kinds = map[string][2]int{
	"tcp": {unix.SOCK_STREAM, 0}, "udp": {unix.SOCK_DGRAM, 0}, "icmp": {unix.SOCK_DGRAM, unix.IPPROTO_ICMP},
}

// dial connects to an address in the network, or behind a machine. network is "tcp",
// "udp" or "icmp". A socket stays in the namespace that it was created in, so only its
// creation needs a thread there.
func (w *wire) dial(ctx context.Context, network, address string) (net.Conn, error) {
	at, err := netip.ParseAddrPort(address)
	if err != nil || !at.Addr().Is4() {
		return nil, fmt.Errorf("%q is not IPv4:PORT", address)
	}
	kind, ok := kinds[network]
	if !ok {
		return nil, fmt.Errorf("unsupported network %q, want tcp, udp or icmp", network)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	fd, err := w.socket(kind)
	if err != nil {
		return nil, err
	}
	connecting := unix.Connect(fd, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()})
	socket := os.NewFile(uintptr(fd), address)
	defer func() { _ = socket.Close() }() // net.FileConn duplicates it
	if errors.Is(connecting, unix.EINPROGRESS) {
		connecting = connected(ctx, socket)
	}
	if connecting != nil {
		return nil, os.NewSyscallError("connect", connecting)
	}
	return net.FileConn(socket)
}

// socket creates a socket in the namespace.
func (w *wire) socket(kind [2]int) (fd int, err error) {
	err = w.use(func() error {
		return w.sockets.do(func() (err error) {
			fd, err = unix.Socket(unix.AF_INET, kind[0]|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, kind[1])
			return os.NewSyscallError("socket", err)
		})
	})
	return fd, err
}

// connected waits until a socket is connected.
func connected(ctx context.Context, socket *os.File) error {
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = socket.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	var failed error
	err = raw.Write(func(fd uintptr) bool {
		var code int
		if code, failed = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR); failed != nil {
			return true
		}
		if code != 0 {
			failed = unix.Errno(code)
			return true
		}
		_, failed = unix.Getpeername(int(fd))
		return !errors.Is(failed, unix.ENOTCONN)
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.Join(err, failed)
}
