// Package loopback listens on all loopback addresses of this host at once. A client
// chooses which of them it uses for a name below "localhost", and browsers try ::1 first,
// so no other program may listen on any of them.
package loopback

import (
	"errors"
	"net"
	"strconv"
	"syscall"
)

// attempts is how many free ports are tried: another program may use the same port of
// the other address.
const attempts = 16

// Listen listens on a port of 127.0.0.1, and of ::1 if this host has IPv6; 0 means any
// free port. The error wraps syscall.EADDRINUSE if another program uses the port on
// either address.
func Listen(port int) (listeners []net.Listener, err error) {
	for range attempts {
		listeners, err = listen(port)
		if err == nil || port != 0 || !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	return listeners, err
}

func listen(port int) ([]net.Listener, error) {
	four, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, err
	}
	port = four.Addr().(*net.TCPAddr).Port
	six, err := net.Listen("tcp6", net.JoinHostPort("::1", strconv.Itoa(port)))
	switch {
	case err == nil:
		return []net.Listener{four, six}, nil
	case errors.Is(err, syscall.EADDRINUSE):
		_ = four.Close()
		return nil, err
	default: // the host has no IPv6
		return []net.Listener{four}, nil
	}
}
