package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"

	"github.com/skiff-dev/skiff/vm/home"
)

// Bounds of clients. A stream has no time limit, but occupies one of the connections.
const (
	headerLimit    = 10 * time.Second // a request's header, and a TLS handshake
	keepAliveLimit = 2 * time.Minute
	maxHeader      = 128 << 10
	maxConnections = 1024 // at each listener
	maxStreams     = 250  // of one HTTP/2 connection
	// takeOver is how often a daemon that does not serve the entry looks whether it
	// should.
	takeOver = 500 * time.Millisecond
)

// entry serves the HTTP and HTTPS ports that the clusters of a user share. Exactly one
// of their daemons does so at a time: the one that holds the lock.
type entry struct {
	home        home.Home
	reserved    func() []int // ports that are not used
	handler     http.Handler
	certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	log         *slog.Logger
}

// run serves as soon as no other daemon does, until ctx ends.
func (e *entry) run(ctx context.Context) error {
	for {
		lock, err := e.home.AcquireWeb()
		if err == nil {
			return errors.Join(e.serve(ctx), lock.Release())
		}
		if !errors.Is(err, home.ErrLocked) {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(takeOver):
		}
	}
}

// serve chooses the ports and serves them until ctx ends.
func (e *entry) serve(ctx context.Context) error {
	last, err := readPorts(e.home)
	if err != nil {
		e.log.Warn("the ports of the web entry are chosen again", "error", err)
	}
	reserved := e.reserved()
	plain, httpPort, err := listen(candidates(last.HTTP, 80, 7080, reserved))
	if err != nil {
		return err
	}
	secure, httpsPort, err := listen(candidates(last.HTTPS, 443, 7443, reserved))
	if err != nil {
		return errors.Join(err, closeAll(plain))
	}
	ports := Ports{HTTP: httpPort, HTTPS: httpsPort}
	if ports != last {
		if err := writePorts(e.home, ports); err != nil {
			return errors.Join(err, closeAll(plain), closeAll(secure))
		}
	}
	e.log.Info("the web entry serves", "http", ports.HTTP, "https", ports.HTTPS)
	return serveAll(ctx, server(e.handler, e.certificate, e.log), plain, secure)
}

// server returns a server that speaks HTTP/1.1 and HTTP/2, with and without TLS.
func server(handler http.Handler, certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error), log *slog.Logger) *http.Server {
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler: handler, Protocols: protocols,
		ReadHeaderTimeout: headerLimit, IdleTimeout: keepAliveLimit, MaxHeaderBytes: maxHeader,
		HTTP2:     &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certificate},
		ErrorLog:  slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// serveAll serves the listeners until ctx ends or one of them fails, and then closes
// all connections.
func serveAll(ctx context.Context, s *http.Server, plain, secure []net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.BaseContext = func(net.Listener) context.Context { return ctx } // it also ends upgraded connections
	ended := make(chan error, len(plain)+len(secure))
	for _, l := range plain {
		go func() { ended <- s.Serve(netutil.LimitListener(l, maxConnections)) }()
	}
	for _, l := range secure {
		go func() { ended <- s.ServeTLS(netutil.LimitListener(l, maxConnections), "", "") }()
	}
	var err error
	running := len(plain) + len(secure)
	select {
	case <-ctx.Done():
	case err = <-ended:
		err = fmt.Errorf("serve HTTP: %w", err)
		running--
	}
	cancel()
	_ = s.Close()
	for range running {
		if next := <-ended; err == nil && !errors.Is(next, http.ErrServerClosed) {
			err = fmt.Errorf("serve HTTP: %w", next)
		}
	}
	return errors.Join(err, closeAll(plain), closeAll(secure))
}

// closeAll closes listeners that may be closed already.
func closeAll(listeners []net.Listener) error {
	var errs []error
	for _, l := range listeners {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
