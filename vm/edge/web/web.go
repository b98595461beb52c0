// Package web is the HTTP and HTTPS entry of the user's clusters on the host. Every
// Service answers at http://SERVICE.NAMESPACE.CLUSTER.localhost, and Ingresses and Gateways
// of the class skiff at their hosts. Nothing outside of the host can reach it, and a request
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

	"k8s.io/apimachinery/pkg/types"

	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/internal/unixsocket"
	"github.com/skiff-dev/skiff/internal/wakeup"
	"github.com/skiff-dev/skiff/vm/edge/authority"
	"github.com/skiff-dev/skiff/vm/edge/web/gateway"
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
	Objects func() (Objects, <-chan struct{})
	// Dial connects to pods.
	Dial DialFunc
	// Listen listens at a port of an address in the machines' network: at Gateway, which
	// serves Ingresses, and at the addresses that Assign gives to Gateways; complete means
	// that there are no other Gateways. If Listen is nil, machines cannot reach any of them.
	Listen  func(address netip.Addr, port uint16) (net.Listener, error)
	Gateway netip.Addr
	Assign  func(claims []gateway.Claim, complete bool) map[types.UID]gateway.Address
	// Frozen reports whether the cluster is paused.
	Frozen func(context.Context) bool
	// Use begins a use of the cluster and waits until it is awake; end ends it. It may be
	// nil.
	Use func(ctx context.Context) (end func(), err error)
	// Reserved returns ports of the host that the user gave to the cluster.
	Reserved func() []int
	Secret   SecretFunc
	Status   StatusFunc
	// GatewayStatus writes the statuses of the Gateway API's objects.
	GatewayStatus GatewayStatusFunc
	Log           *slog.Logger
}

// Objects are what the entry routes by.
type Objects struct {
	route.Objects
	Gateways gateway.Objects
	// Complete is set once everything has been listed.
	Complete bool
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
	entryPorts := func() Ports {
		ports, _ := readPorts(config.Home) // without them, redirects lead to the standard ports
		return ports
	}
	s := newSite(config.Cluster, config.Dial, config.Frozen, entryPorts, config.Log)
	if config.Use != nil {
		s.use = config.Use
	}
	return &Server{config: config, site: s, dispatcher: &dispatcher{
		site: s, issuer: issuer, peers: newPeers(config.Home, config.Cluster, config.Log),
		own: &certificates{table: &s.table, gateways: &s.gateways, read: config.Secret, paused: s.frozen, log: config.Log},
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

// follow keeps routes, listeners and statuses as the objects are.
func (s *Server) follow(ctx context.Context) error {
	ports := &gatewayPorts{server: s, open: map[gateway.Port]*openPort{}, failed: wakeup.New()}
	defer ports.close()
	for {
		objects, changed := s.config.Objects()
		table := route.New(s.config.Cluster, objects.Objects)
		gateways, complete := s.routes(ctx, objects, table, ports)
		s.site.table.Store(table)
		s.site.gateways.Store(gateways)
		var retry <-chan time.Time
		if len(gateways.Secrets()) > 0 {
			retry = time.After(secretFresh) // nobody tells when a secret changes
		}
		needed := changes(objects.Ingresses, table.Ingresses(), addresses(s.config.Cluster, s.config.Gateway))
		complete = writeStatus(ctx, s.config.Status, needed, s.config.Log) && complete
		if !writeGatewayStatus(ctx, s.config.GatewayStatus, gateways.Statuses(), s.config.Log) || !complete {
			retry = time.After(statusRetry)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-retry:
		case <-ports.failed:
			if pause.For(ctx, reopenDelay) != nil {
				return nil
			}
		}
	}
}

// reopenDelay is the pause before a failed port of a Gateway is opened again, so that a
// port that fails at once does not keep a CPU busy.
const reopenDelay = time.Second

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
	plain, err := s.config.Listen(s.config.Gateway, 80)
	if err != nil {
		return fmt.Errorf("listen for the cluster's Ingresses: %w", err)
	}
	secure, err := s.config.Listen(s.config.Gateway, 443)
	if err != nil {
		return errors.Join(fmt.Errorf("listen for the cluster's Ingresses: %w", err), plain.Close())
	}
	handler := s.site.handler(inside)
	return serveAll(ctx, server(handler, s.dispatcher.insideCertificate, s.config.Log), []net.Listener{plain}, []net.Listener{secure})
}
