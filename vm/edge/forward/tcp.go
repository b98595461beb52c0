package forward

import (
	"context"
	"net"
	"sync"

	"github.com/skiff-dev/skiff/internal/accept"
	"github.com/skiff-dev/skiff/internal/splice"
)

// serveTCP forwards connections until ctx ends.
func (s *server) serveTCP(ctx context.Context, listener net.Listener) {
	bounded := &boundedListener{Listener: listener, slots: s.shared.slots, closed: make(chan struct{})}
	err := accept.Serve(ctx, bounded, s.shared.log, s.handle)
	if err != nil {
		s.shared.log.Error("a listener of a service ended", "listener", s.id, "error", err)
	}
}

// handle forwards one connection until both directions have ended.
func (s *server) handle(ctx context.Context, conn net.Conn) {
	defer func() { _ = conn.Close() }()
	client := conn
	if slot, ok := conn.(*slotConn); ok {
		client = slot.TCPConn // the kernel splices nothing else
	}
	end, err := s.shared.use(ctx)
	if err != nil {
		return // the listener ends
	}
	defer end()
	backend, at, err := s.shared.dialer.connect(ctx, "tcp", s.target())
	if err != nil {
		s.shared.log.Debug("cannot forward a connection", "listener", s.id, "error", err)
		reset(client)
		return
	}
	both := pair{client, backend}
	defer func() { _ = both.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = both.Close() })
	defer stop()
	defer s.shared.flows.add(at, both)()
	splice.Both(client, backend)
}

// reset makes the client see a connection that is refused late, not one that ended
// in an orderly way.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
}

// pair is the two ends of a forwarded connection.
type pair struct{ client, backend net.Conn }

// Close closes both ends.
func (p pair) Close() error {
	_ = p.client.Close()
	return p.backend.Close()
}

// boundedListener accepts a connection only when there is a slot for it, so that
// clients wait in the kernel's queue instead of using up the process's
// descriptors.
type boundedListener struct {
	net.Listener
	slots  chan struct{}
	once   sync.Once
	closed chan struct{}
}

// Accept returns the next connection, which holds a slot until it is closed.
func (b *boundedListener) Accept() (net.Conn, error) {
	conn, err := b.Listener.Accept()
	if err != nil {
		return nil, err
	}
	select {
	case b.slots <- struct{}{}:
	case <-b.closed:
		_ = conn.Close()
		return nil, net.ErrClosed
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		<-b.slots
		_ = conn.Close()
		return nil, net.ErrClosed
	}
	return &slotConn{TCPConn: tcp, give: sync.OnceFunc(func() { <-b.slots })}, nil
}

// Close ends Accept.
func (b *boundedListener) Close() error {
	b.once.Do(func() { close(b.closed) })
	return b.Listener.Close()
}

// slotConn is a connection that holds a slot.
type slotConn struct {
	*net.TCPConn
	give func()
}

// Close closes the connection and returns its slot.
func (c *slotConn) Close() error {
	defer c.give()
	return c.TCPConn.Close()
}
