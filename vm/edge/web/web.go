// Package web is the HTTP and HTTPS entry of the user's clusters on the host. Every
// Service answers at http://SERVICE.NAMESPACE.CLUSTER.localhost, and Ingresses of the
// class skiff at their hosts. Nothing outside of the host can reach it, and a request
// whose host names no cluster reaches none.
package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/skiff-dev/skiff/internal/unixsocket"
	"github.com/skiff-dev/skiff/vm/edge/authority"
	"github.com/skiff-dev/skiff/vm/edge/web/route"
	"github.com/skiff-dev/skiff/vm/home"
)

// Config of a Server.
type Config struct {
	Home home.Home
	// Cluster is the name of the daemon's cluster.
	Cluster string
	// Objects returns the cluster's objects, and a channel that is closed once they
	// have changed.
	Objects func() (route.Objects, <-chan struct{})
	// Dial connects to pods.
	Dial DialFunc
	// Listen listens at a port of Gateway, an address in the machines' network. If it is
	// nil, machines cannot reach Ingresses.
	Listen  func(port int) (net.Listener, error)
	Gateway netip.Addr
	// Frozen reports whether the cluster is paused.
	Frozen func(context.Context) bool
	// Reserved returns ports of the host that the user gave to the cluster.
	Reserved func() []int
	Secret   SecretFunc
	Status   StatusFunc
	Log      *slog.Logger
}

// Server serves one cluster, and the entry while no other daemon of the user does.
type Server struct {
	config     Config
	site       *site
	dispatcher *dispatcher
}

// New returns a Server. It creates the user's certificate authority if that does not
// exist.
func New(config Config) (*Server, error) {
	local, err := authority.Open(config.Home.Authority(), time.Now())
	if err != nil {
		return nil, err
	}
	issuer, err := authority.NewIssuer(local)
	if err != nil {
		return nil, err
	}
	s := newSite(config.Cluster, config.Dial, config.Frozen, config.Log)
	return &Server{config: config, site: s, dispatcher: &dispatcher{
		site: s, issuer: issuer, peers: newPeers(config.Home, config.Cluster, config.Log),
		own: &certificates{table: &s.table, read: config.Secret, log: config.Log},
	}}, nil
}

// Run serves until ctx ends; then it returns nil. If a part of it fails, all end.
func (s *Server) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var parts sync.WaitGroup
	run := func(part func(context.Context) error) {
		parts.Go(func() {
			if err := part(ctx); err != nil {
				cancel(err)
			}
		})
	}
	shared := &entry{home: s.config.Home, reserved: s.config.Reserved, handler: s.dispatcher, certificate: s.dispatcher.certificate, log: s.config.Log}
	run(s.follow)
	run(s.servePeers)
	run(shared.run)
	if s.config.Listen != nil {
		run(s.serveInside)
	}
	parts.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) && !errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	return nil
}

// follow keeps routes and statuses as the objects are.
func (s *Server) follow(ctx context.Context) error {
	for {
		objects, changed := s.config.Objects()
		table := route.New(s.config.Cluster, objects)
		s.site.table.Store(table)
		var retry <-chan time.Time
		needed := changes(objects.Ingresses, table.Ingresses(), addresses(s.config.Cluster, s.config.Gateway))
		if !writeStatus(ctx, s.config.Status, needed, s.config.Log) {
			retry = time.After(statusRetry)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-retry:
		}
	}
}

// servePeers serves what the entry of another daemon forwards.
func (s *Server) servePeers(ctx context.Context) error {
	// The daemon holds the cluster's lock, so an existing socket is a dead daemon's.
	listener, err := unixsocket.Listen(s.config.Home.Cluster(s.config.Cluster).Web())
	if err != nil {
		return fmt.Errorf("listen for the web entry: %w", err)
	}
	handler := s.site.handler(fromEntry)
	return serveAll(ctx, server(handler, nil, s.config.Log), []net.Listener{listener}, nil)
}

// serveInside serves Ingresses at the cluster's own address.
func (s *Server) serveInside(ctx context.Context) error {
	plain, err := s.config.Listen(80)
	if err != nil {
		return fmt.Errorf("listen for the cluster's Ingresses: %w", err)
	}
	secure, err := s.config.Listen(443)
	if err != nil {
		return errors.Join(fmt.Errorf("listen for the cluster's Ingresses: %w", err), plain.Close())
	}
	handler := s.site.handler(inside)
	return serveAll(ctx, server(handler, s.dispatcher.insideCertificate, s.config.Log), []net.Listener{plain}, []net.Listener{secure})
}
