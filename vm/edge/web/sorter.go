package web

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"golang.org/x/net/netutil"

	"github.com/skiff-dev/skiff/internal/accept"
)

// sorter accepts TLS connections and reads the name that each client asks for, before TLS
// begins. It offers those that take does not want as a net.Listener.
type sorter struct {
	listener net.Listener
	take     func(ctx context.Context, conn net.Conn, serverName string) bool
	log      *slog.Logger
	rest     chan net.Conn

	once   sync.Once
	closed chan struct{}
}

func newSorter(listener net.Listener, log *slog.Logger, take func(ctx context.Context, conn net.Conn, serverName string) bool) *sorter {
	return &sorter{listener: listener, take: take, log: log, rest: make(chan net.Conn), closed: make(chan struct{})}
}

// serve calls next with the connections that are left, until ctx ends or next returns.
func (s *sorter) serve(ctx context.Context, next func(net.Listener) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- accept.Serve(ctx, netutil.LimitListener(s.listener, maxConnections), s.log, s.sort) }()
	err := next(&remaining{sorter: s})
	cancel()
	return errors.Join(err, <-ended)
}

// sort handles one connection.
func (s *sorter) sort(ctx context.Context, conn net.Conn) {
	_ = conn.SetReadDeadline(time.Now().Add(headerLimit)) // reading fails as well
	name, read := serverName(ctx, conn)
	_ = conn.SetReadDeadline(time.Time{})
	whole := &replayed{Conn: conn, first: io.MultiReader(bytes.NewReader(read), conn), closed: make(chan struct{})}
	defer func() { _ = whole.Close() }()
	if s.take(ctx, whole, name) {
		return
	}
	select {
	case s.rest <- whole:
	case <-s.closed:
		return
	case <-ctx.Done():
		return
	}
	select {
	case <-whole.closed:
	case <-ctx.Done():
	}
}

// errHello ends a handshake once the name is known.
var errHello = errors.New("the name is known")

// serverName returns the name that a client asks for, "" if there is none, and what was
// read for it. The client gets no answer.
func serverName(ctx context.Context, conn net.Conn) (name string, read []byte) {
	recorded := &recorder{Conn: conn}
	handshake := tls.Server(recorded, &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			name = hello.ServerName
			return nil, errHello
		},
	})
	_ = handshake.HandshakeContext(ctx) // it always fails
	return name, recorded.read.Bytes()
}

// recorder keeps what is read and writes nothing.
type recorder struct {
	net.Conn
	read bytes.Buffer
}

func (r *recorder) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	r.read.Write(b[:n])
	return n, err
}

func (r *recorder) Write(b []byte) (int, error) { return len(b), nil }
func (r *recorder) Close() error                { return nil }

// replayed is a connection of which the beginning is read again.
type replayed struct {
	net.Conn
	first io.Reader

	once   sync.Once
	closed chan struct{}
}

func (r *replayed) Read(b []byte) (int, error) { return r.first.Read(b) }

// CloseWrite closes the writing half.
func (r *replayed) CloseWrite() error {
	if half, ok := r.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return r.Close()
}

// Close implements net.Conn.
func (r *replayed) Close() error {
	r.once.Do(func() { close(r.closed) })
	return r.Conn.Close()
}

// remaining is the net.Listener of the connections that are left.
type remaining struct{ *sorter }

// Accept implements net.Listener.
func (r *remaining) Accept() (net.Conn, error) {
	select {
	case conn := <-r.rest:
		return conn, nil
	case <-r.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (r *remaining) Close() error {
	r.once.Do(func() { close(r.closed) })
	return nil
}

// Addr implements net.Listener.
func (r *remaining) Addr() net.Addr { return r.listener.Addr() }
