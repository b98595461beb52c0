package network

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"
)

// dialTimeout bounds one attempt to reach one backend.
const dialTimeout = 3 * time.Second

// Front is a port of the host that leads to whichever of several backends
// answers. It only passes bytes on: TLS is between the client and the backend.
type Front struct {
	// Listener is usually on 127.0.0.1. Run closes it.
	Listener net.Listener
	// Dial connects to a backend, as Network.DialContext does.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	mu       sync.Mutex // guards what follows
	backends []string
	last     string              // the backend that answered last
	active   map[net.Conn]string // connections to backends, and to which
}

// SetBackends replaces the backends, each HOST:PORT. No connection is made any
// more to those that are not among them. The connections that there are end, so that
// clients come back and reach another; those to a parting backend are its own to
// end, once it has answered what it was asked.
func (f *Front) SetBackends(addresses []string, parting ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.backends = slices.Clone(addresses)
	for conn, backend := range f.active {
		if !slices.Contains(f.backends, backend) && !slices.Contains(parting, backend) {
			_ = conn.Close()
		}
	}
}

// track keeps a connection for SetBackends until forget is called; false if its
// backend is none any more.
func (f *Front) track(conn net.Conn, backend string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.Contains(f.backends, backend) {
		return false
	}
	if f.active == nil {
		f.active = map[net.Conn]string{}
	}
	f.active[conn], f.last = backend, backend
	return true
}

func (f *Front) forget(conn net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.active, conn)
}

// Run passes connections on until ctx ends, then closes them all and returns
// nil.
func (f *Front) Run(ctx context.Context) error {
	var conns sync.WaitGroup
	defer conns.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	release := context.AfterFunc(ctx, func() { _ = f.Listener.Close() })
	defer release()
	defer func() { _ = f.Listener.Close() }()
	for {
		conn, err := f.Listener.Accept()
		if ctx.Err() != nil {
			if err == nil {
				_ = conn.Close()
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept on %s: %w", f.Listener.Addr(), err)
		}
		conns.Go(func() { f.serve(ctx, conn) })
	}
}

func (f *Front) serve(ctx context.Context, client net.Conn) {
	defer func() { _ = client.Close() }()
	backend, err := f.dial(ctx)
	if err != nil {
		// The client sees its connection end; there is nothing to say in a
		// protocol that is not ours.
		return
	}
	defer f.forget(backend)
	defer func() { _ = backend.Close() }()
	release := context.AfterFunc(ctx, func() {
		_ = client.Close()
		_ = backend.Close()
	})
	defer release()
	var copies sync.WaitGroup
	copies.Go(func() { pass(backend, client) })
	copies.Go(func() { pass(client, backend) })
	copies.Wait()
}

// pass copies until source ends, then tells target so. If either breaks, both
// are closed, since the other direction cannot be of use.
func pass(target, source net.Conn) {
	_, err := io.Copy(target, source)
	half, ok := target.(interface{ CloseWrite() error })
	if err != nil || !ok || half.CloseWrite() != nil {
		_ = target.Close()
		_ = source.Close()
	}
}

// dial tries the backend that answered last first, then the others.
func (f *Front) dial(ctx context.Context) (net.Conn, error) {
	errs := []error{errors.New("no backend answers")}
	for _, address := range f.order() {
		attempt, cancel := context.WithTimeout(ctx, dialTimeout)
		conn, err := f.Dial(attempt, "tcp", address)
		cancel()
		if err == nil && f.track(conn, address) {
			return conn, nil
		}
		if err == nil {
			err = errors.Join(errors.New("it is no backend any more"), conn.Close())
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func (f *Front) order() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	order := slices.Clone(f.backends)
	if i := slices.Index(order, f.last); i > 0 {
		order = slices.Insert(slices.Delete(order, i, i+1), 0, f.last)
	}
	return order
}
