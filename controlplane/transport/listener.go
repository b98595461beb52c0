package transport

import (
	"context"
	"net"
	"sync"
)

// Listener accepts connections from its own process only.
type Listener struct {
	once   sync.Once
	closed chan struct{}
	dialed chan net.Conn
}

// NewListener returns a listener. It uses nothing but memory.
func NewListener() *Listener {
	return &Listener{closed: make(chan struct{}), dialed: make(chan net.Conn)}
}

// Dial connects to the listener. It blocks until the connection is accepted.
func (l *Listener) Dial(ctx context.Context) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case l.dialed <- far:
		return near, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.dialed:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. It does not close connections.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return address{} }

type address struct{}

func (address) Network() string { return "memory" }
func (address) String() string  { return "in-process" }
