package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"

	"github.com/skiff-dev/skiff/vm/cluster"
)

// maxTries is how many ports are tried before any free one is taken.
const maxTries = 64

// privileged ports are open to root only on most hosts. The first port that is
// tried instead is this much higher: 8080 for 80, 8443 for 443.
const (
	privileged   = 1024
	unprivileged = 8000
)

// candidates returns the ports to try in this order; 0 is any free one.
func candidates(wanted, remembered uint16, fixed bool) []uint16 {
	if fixed {
		return []uint16{wanted}
	}
	var all []uint16
	if remembered != 0 && remembered != wanted {
		all = append(all, remembered)
	}
	all = append(all, wanted)
	next := int(wanted) + 1
	if wanted < privileged {
		next = int(wanted) + unprivileged
	}
	for ; len(all) < maxTries && next <= 65535; next++ {
		all = append(all, uint16(next))
	}
	return append(all, 0)
}

// bind listens on one address. It returns a net.Listener or a *net.UDPConn, and its
// port.
func bind(ctx context.Context, protocol string, at netip.AddrPort) (io.Closer, uint16, error) {
	var config net.ListenConfig
	version := "6"
	if at.Addr().Is4() {
		version = "4"
	}
	if protocol == cluster.ProtocolUDP {
		packets, err := config.ListenPacket(ctx, "udp"+version, at.String())
		if err != nil {
			return nil, 0, err
		}
		return packets, uint16(packets.LocalAddr().(*net.UDPAddr).Port), nil
	}
	listener, err := config.Listen(ctx, "tcp"+version, at.String())
	if err != nil {
		return nil, 0, err
	}
	return listener, uint16(listener.Addr().(*net.TCPAddr).Port), nil
}

// reason explains briefly why an address cannot be listened on.
func reason(l Listener, err error) string {
	at := fmt.Sprintf("port %d on %s", l.Port, l.Address)
	if l.Protocol == cluster.ProtocolUDP {
		at = "UDP " + at
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return at + " is in use"
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return at + " needs root"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Sprintf("%s is not an address of this host", l.Address)
	default:
		return fmt.Sprintf("cannot listen on %s: %v", at, err)
	}
}

// Check returns an error if the host cannot listen on a port of the user.
func Check(ctx context.Context, p cluster.Port) error {
	bound, _, err := bind(ctx, p.Protocol, netip.AddrPortFrom(p.Address, p.Host))
	if err != nil {
		return errors.New(reason(Listener{Protocol: p.Protocol, Address: p.Address, Port: p.Host}, err))
	}
	return bound.Close()
}
