package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/skiff-dev/skiff/test/netns"
)

// inside connects within the network of sandboxes, a network namespace of the
// daemon.
type inside struct{ dials chan dial }

type dial struct {
	ctx              context.Context
	network, address string
	result           chan dialed
}

type dialed struct {
	conn net.Conn
	err  error
}

// enter finds the network of a daemon. Its threads live as long as this program.
func enter(daemon int) (inside, error) {
	namespace, err := netns.Nodes(daemon)
	if err != nil {
		return inside{}, err
	}
	i := inside{dials: make(chan dial)}
	for range parallel {
		ready := make(chan error)
		go func() {
			// The thread keeps the namespace, so it must not serve other goroutines.
			runtime.LockOSThread()
			file, err := os.Open(namespace)
			if err == nil {
				err = errors.Join(unix.Setns(int(file.Fd()), unix.CLONE_NEWNET), file.Close())
			}
			ready <- err
			for d := range i.dials {
				conn, err := (&net.Dialer{}).DialContext(d.ctx, d.network, d.address)
				d.result <- dialed{conn, err}
			}
		}()
		if err := <-ready; err != nil {
			return inside{}, fmt.Errorf("enter the nodes' network: %w", err)
		}
	}
	return i, nil
}

func (i inside) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := dial{ctx, network, address, make(chan dialed, 1)}
	i.dials <- d
	r := <-d.result
	return r.conn, r.err
}
