// Package front keeps one address on the node that leads to whichever control
// plane answers. It forwards TCP only: TLS runs from the client to the API
// server, so that the front holds no key and can read nothing.
package front

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Front forwards connections to the first backend that accepts them.
type Front struct {
	// Listen is the front's own address, normally on the loopback interface.
	Listen netip.AddrPort
	// Backends are tried in this order, the one that answered last first. Follow
	// replaces them once the front runs.
	Backends []netip.AddrPort
	// DialTimeout bounds one attempt; three seconds if zero.
	DialTimeout time.Duration

	mu     sync.Mutex // guards Backends and what follows
	last   netip.AddrPort
	active map[net.Conn]struct{}
	closed bool
}

// keepAlive finds a backend that vanished without a word (a killed machine)
// within about twelve seconds, so that clients dial again and reach another.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 6 * time.Second, Interval: 2 * time.Second, Count: 3}

// Run listens and forwards until ctx ends; it returns when every connection
// is closed. The error says why it could not listen, and is nil once ctx ended.
func (f *Front) Run(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", f.Listen.String())
	if err != nil {
		return fmt.Errorf("listen for the API front: %w", err)
	}
	return f.Serve(ctx, listener)
}

// Serve is Run on a listener that is there already, which it closes.
func (f *Front) Serve(ctx context.Context, listener net.Listener) error {
	var wait sync.WaitGroup
	defer wait.Wait()
	stop := context.AfterFunc(ctx, func() {
		_ = listener.Close()
		f.closeAll()
	})
	defer stop()
	for {
		conn, err := listener.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("accept on the API front: %w", err)
		}
		if err != nil {
			// Out of file descriptors or a client that left already: neither
			// is a reason to stop, and neither may spin.
			slog.Warn("API front could not accept", "error", err)
			time.Sleep(50 * time.Millisecond)
			continue
		}
		wait.Go(func() { f.forward(ctx, conn) })
	}
}

func (f *Front) forward(ctx context.Context, client net.Conn) {
	defer client.Close()
	backend, err := f.dial(ctx)
	if err != nil {
		slog.Debug("API front reaches no control plane", "error", err)
		return
	}
	defer backend.Close()
	if !f.track(client, backend) {
		return
	}
	defer f.untrack(client, backend)

	var wait sync.WaitGroup
	wait.Go(func() { pipe(backend, client) })
	wait.Go(func() { pipe(client, backend) })
	wait.Wait()
}

// pipe copies until the source ends and passes the end on, so that one side
// may finish sending while it still reads.
func pipe(to, from net.Conn) {
	_, err := io.Copy(to, from)
	if half, ok := to.(*net.TCPConn); ok && err == nil {
		_ = half.CloseWrite()
		return
	}
	_ = to.Close()
	_ = from.Close()
}

// dial tries every backend once.
func (f *Front) dial(ctx context.Context) (net.Conn, error) {
	timeout := f.DialTimeout
	if timeout == 0 {
		timeout = 3 * time.Second
	}
	dialer := net.Dialer{Timeout: timeout, KeepAliveConfig: keepAlive}
	failure := errors.New("no control plane is known")
	for _, backend := range f.candidates() {
		conn, err := dialer.DialContext(ctx, "tcp", backend.String())
		if err == nil {
			f.mu.Lock()
			f.last = backend
			f.mu.Unlock()
			return conn, nil
		}
		failure = err
	}
	return nil, failure
}

// order returns backends with first moved to the front, if it is one of them.
func order(backends []netip.AddrPort, first netip.AddrPort) []netip.AddrPort {
	ordered := make([]netip.AddrPort, 0, len(backends))
	for _, backend := range backends {
		if backend == first {
			ordered = append(ordered, backend)
		}
	}
	for _, backend := range backends {
		if backend != first {
			ordered = append(ordered, backend)
		}
	}
	return ordered
}

// track remembers connections to close at the end; false if the end was.
func (f *Front) track(conns ...net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false
	}
	if f.active == nil {
		f.active = map[net.Conn]struct{}{}
	}
	for _, conn := range conns {
		f.active[conn] = struct{}{}
	}
	return true
}

func (f *Front) untrack(conns ...net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, conn := range conns {
		delete(f.active, conn)
	}
}

func (f *Front) closeAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for conn := range f.active {
		_ = conn.Close()
	}
}
