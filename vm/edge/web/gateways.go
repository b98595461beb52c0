package web

import (
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/skiff-dev/skiff/internal/splice"
	"github.com/skiff-dev/skiff/internal/wakeup"
	"github.com/skiff-dev/skiff/vm/edge/web/gateway"
	"github.com/skiff-dev/skiff/vm/edge/web/route"
)

// routes returns the routes of Gateways, after their addresses are assigned, their
// certificates are read, and their ports are open. It returns false if a port could not be
// opened.
func (s *Server) routes(ctx context.Context, objects Objects, services *route.Table, ports *gatewayPorts) (table *gateway.Table, complete bool) {
	environment := gateway.Environment{Services: services, Now: time.Now()}
	if s.config.Assign != nil {
		environment.Addresses = s.config.Assign(gateway.Claims(objects.Gateways), objects.Complete)
	}
	table = gateway.New(objects.Gateways, environment)
	if secrets := table.Secrets(); len(secrets) > 0 {
		environment.Certificates = s.dispatcher.own.check(ctx, secrets)
		table = gateway.New(objects.Gateways, environment)
	}
	failed := ports.update(ctx, table.Ports())
	if len(failed) == 0 {
		return table, true
	}
	for _, g := range objects.Gateways.Gateways {
		if err := failed[types.NamespacedName{Namespace: g.Namespace, Name: g.Name}]; err != nil {
			environment.Addresses[g.UID] = gateway.Address{Problem: err.Error()}
		}
	}
	return gateway.New(objects.Gateways, environment), false
}

// gatewayPorts are the open ports of Gateways.
type gatewayPorts struct {
	server *Server
	open   map[gateway.Port]*openPort
	failed wakeup.Signal // sent when a port has failed and must be opened again
}

// openPort is a port that is served until cancel is called, or until it fails.
type openPort struct {
	cancel context.CancelFunc
	done   chan struct{}
}

// ended reports whether the port is no longer served.
func (o *openPort) ended() bool {
	select {
	case <-o.done:
		return true
	default:
		return false
	}
}

// update opens and closes ports, so that exactly the wanted ones are open. It returns why
// ports of Gateways cannot be opened.
func (g *gatewayPorts) update(ctx context.Context, wanted []gateway.Port) map[types.NamespacedName]error {
	keep := map[gateway.Port]bool{}
	for _, p := range wanted {
		keep[p] = true
	}
	for p, one := range g.open {
		if !keep[p] || one.ended() {
			one.close()
			delete(g.open, p)
		}
	}
	failed := map[types.NamespacedName]error{}
	for _, p := range wanted {
		if g.open[p] != nil {
			continue
		}
		listener, err := g.server.config.Listen(p.Address.IP, uint16(p.Number))
		if err != nil {
			g.server.config.Log.Warn("cannot open a port of a Gateway", "gateway", p.Gateway, "error", err)
			failed[p.Gateway] = err
			continue
		}
		serving, cancel := context.WithCancel(ctx)
		one := &openPort{cancel: cancel, done: make(chan struct{})}
		g.open[p] = one
		go func() {
			err := g.server.servePort(serving, listener, p)
			close(one.done)
			if err != nil {
				g.server.config.Log.Warn("a port of a Gateway failed", "gateway", p.Gateway, "error", err)
				g.failed.Send()
			}
		}()
	}
	return failed
}

func (g *gatewayPorts) close() {
	for _, one := range g.open {
		one.close()
	}
}

func (o *openPort) close() {
	o.cancel()
	<-o.done
}

// servePort serves a port of a Gateway until ctx ends.
func (s *Server) servePort(ctx context.Context, listener net.Listener, p gateway.Port) error {
	handler := s.site.serveGateway(p)
	certificate := func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		host := route.Host(hello.ServerName)
		secrets, ok := s.site.gateways.Load().CertificatesFor(p.Gateway, p.Number, host)
		if found := s.dispatcher.own.choose(hello.Context(), host, secrets); ok && found != nil {
			return found, nil
		}
		return nil, fmt.Errorf("no certificate for %q", host)
	}
	if !p.TLS {
		return serveAll(ctx, server(handler, certificate, s.config.Log), []net.Listener{listener}, nil)
	}
	sorted := newSorter(listener, s.config.Log, func(ctx context.Context, conn net.Conn, serverName string) bool {
		return s.stream(ctx, conn, p, serverName)
	})
	return sorted.serve(ctx, func(requests net.Listener) error {
		return serveAll(ctx, server(handler, certificate, s.config.Log), nil, []net.Listener{requests})
	})
}

// stream forwards a TLS connection whose requests are not routed one by one. It returns
// false if they are.
func (s *Server) stream(ctx context.Context, conn net.Conn, p gateway.Port, serverName string) bool {
	table := s.site.gateways.Load()
	if !table.HasStreams(p.Gateway, p.Number) {
		return false
	}
	target, ok := table.ResolveStream(p.Gateway, p.Number, route.Host(serverName), rand.IntN)
	if ok && target.HTTP {
		return false
	}
	if !ok || len(target.Backend.Endpoints) == 0 || s.site.awake(ctx) != nil {
		return true
	}
	if target.Terminate {
		secure := tls.Server(conn, &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if found := s.dispatcher.own.choose(hello.Context(), route.Host(hello.ServerName), target.Secrets); found != nil {
				return found, nil
			}
			return nil, fmt.Errorf("no certificate for %q", hello.ServerName)
		}})
		if !handshake(ctx, secure) {
			return true
		}
		conn = secure
	}
	address := target.Backend.Endpoints[rand.IntN(len(target.Backend.Endpoints))]
	backend, err := limited(s.config.Dial)(ctx, "tcp", address)
	if err != nil {
		s.config.Log.Debug("cannot connect to a backend", "address", address, "error", err)
		return true
	}
	defer func() { _ = backend.Close() }()
	stop := context.AfterFunc(ctx, func() { _, _ = conn.Close(), backend.Close() })
	defer stop()
	splice.Both(conn, backend)
	return true
}

// handshake completes a TLS handshake, unless the client takes too long.
func handshake(ctx context.Context, conn *tls.Conn) bool {
	ctx, cancel := context.WithTimeout(ctx, headerLimit)
	defer cancel()
	return conn.HandshakeContext(ctx) == nil
}
