// Package balancer is a TCP load balancer: one address that leads to whichever
// of several backends accepts a connection. It copies bytes only. TLS runs
// between the client and the backend, so the balancer holds no key.
package balancer

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/skiff-dev/skiff/internal/accept"
	"github.com/skiff-dev/skiff/internal/splice"
)

// defaultDialTimeout bounds one attempt to reach one backend.
const defaultDialTimeout = 3 * time.Second

// keepAlive detects a backend that vanished without closing its connections, as
// a killed machine does, within about twelve seconds. The client then connects
// again and reaches another backend.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 6 * time.Second, Interval: 2 * time.Second, Count: 3}

// Balancer forwards connections to its backends. The backend that answered last
// is tried first, so that a client's connections tend to share one.
type Balancer struct {
	// Listener accepts the clients. Run closes it.
	Listener net.Listener
	// Dial connects to a backend; a net.Dialer with keep-alive probes if nil.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// DialTimeout bounds one attempt; three seconds if zero.
	DialTimeout time.Duration
	// Use, if set, is called before a client is connected, and end when its connection has
	// ended. It may wait. If it fails, the client's connection is closed.
	Use func(ctx context.Context) (end func(), err error)
	// Log receives errors of the listener; slog.Default() if nil.
	Log *slog.Logger

	mu       sync.Mutex // guards the fields below
	backends []string
	last     string              // the backend that answered last
	active   map[net.Conn]string // connections to backends, and to which
}

// SetBackends replaces the backends, each HOST:PORT. New connections go to these
// only. Existing connections to any other backend are closed, so that their
// clients connect again, except those to a departing one: it answers the requests
// that it has received and closes its connections itself.
func (b *Balancer) SetBackends(addresses []string, departing ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.backends = slices.Clone(addresses)
	for conn, backend := range b.active {
		if !slices.Contains(b.backends, backend) && !slices.Contains(departing, backend) {
			_ = conn.Close()
		}
	}
}

// Backends returns the backends in the order in which they are tried.
func (b *Balancer) Backends() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	order := slices.Clone(b.backends)
	if i := slices.Index(order, b.last); i > 0 {
		order = slices.Insert(slices.Delete(order, i, i+1), 0, b.last)
	}
	return order
}

// Run forwards connections until ctx ends, then closes them all and returns nil.
func (b *Balancer) Run(ctx context.Context) error { return b.Serve(ctx, b.Listener) }

// Serve is like Run for a further listener, which it closes.
func (b *Balancer) Serve(ctx context.Context, listener net.Listener) error {
	return b.ServeAs(ctx, listener, b.Use)
}

// ServeAs is like Serve with another function instead of Use.
func (b *Balancer) ServeAs(ctx context.Context, listener net.Listener, use func(context.Context) (end func(), err error)) error {
	log := b.Log
	if log == nil {
		log = slog.Default()
	}
	return accept.Serve(ctx, listener, log, func(ctx context.Context, client net.Conn) {
		defer func() { _ = client.Close() }()
		if use != nil {
			end, err := use(ctx)
			if err != nil {
				return
			}
			defer end()
		}
		b.serve(ctx, client)
	})
}

// Connect returns a connection to a backend, for which Use is not called. Like those of
// clients, it is closed when its backend is removed.
func (b *Balancer) Connect(ctx context.Context) (net.Conn, error) {
	conn, err := b.connect(ctx)
	if err != nil {
		return nil, err
	}
	return &tracked{Conn: conn, balancer: b}, nil
}

// tracked is a connection to a backend that the balancer forgets when it is closed.
type tracked struct {
	net.Conn
	balancer *Balancer
}

// Close closes the connection.
func (t *tracked) Close() error {
	t.balancer.forget(t.Conn)
	return t.Conn.Close()
}

// serve connects a client, which the caller closes.
func (b *Balancer) serve(ctx context.Context, client net.Conn) {
	backend, err := b.connect(ctx)
	if err != nil {
		// The client sees its connection close. Nothing more can be said in a
		// protocol that the balancer does not speak.
		return
	}
	defer b.forget(backend)
	defer func() { _ = backend.Close() }()
	stop := context.AfterFunc(ctx, func() {
		_ = client.Close()
		_ = backend.Close()
	})
	defer stop()
	splice.Both(client, backend)
}

// connect returns a connection to the first backend that accepts one.
func (b *Balancer) connect(ctx context.Context) (net.Conn, error) {
	errs := []error{errors.New("no backend accepts connections")}
	for _, address := range b.Backends() {
		conn, err := b.dial(ctx, address)
		if err == nil && b.track(conn, address) {
			return conn, nil
		}
		if err == nil {
			err = errors.Join(errors.New("it was removed from the backends"), conn.Close())
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func (b *Balancer) dial(ctx context.Context, address string) (net.Conn, error) {
	timeout := b.DialTimeout
	if timeout == 0 {
		timeout = defaultDialTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	dial := b.Dial
	if dial == nil {
		dial = (&net.Dialer{KeepAliveConfig: keepAlive}).DialContext
	}
	return dial(ctx, "tcp", address)
}

// track registers a connection for SetBackends until forget is called. It
// returns false if the backend was removed in the meantime.
func (b *Balancer) track(conn net.Conn, backend string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Contains(b.backends, backend) {
		return false
	}
	if b.active == nil {
		b.active = map[net.Conn]string{}
	}
	b.active[conn], b.last = backend, backend
	return true
}

func (b *Balancer) forget(conn net.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.active, conn)
}
