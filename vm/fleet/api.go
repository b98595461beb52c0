package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/connrotation"

	"github.com/skiff-dev/skiff/internal/balancer"
	"github.com/skiff-dev/skiff/internal/unixsocket"
	"github.com/skiff-dev/skiff/internal/wakeup"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/credentials"
	"github.com/skiff-dev/skiff/vm/kube"
	"github.com/skiff-dev/skiff/vm/node"
	"github.com/skiff-dev/skiff/vm/operation"
	"github.com/skiff-dev/skiff/vm/standby"
)

// How the API load balancer finds control planes that are ready.
const (
	followPeriod = 2 * time.Second
	probeLimit   = 2 * time.Second
	// refusedPeriod is how long the API answers on 127.0.0.1 only, if another program uses
	// its port on another address. Each attempt to open all addresses ends connections.
	refusedPeriod = 30 * time.Second
)

// How watches detect an API server that is gone without closing its
// connections.
const (
	pingAfter   = 30 * time.Second
	pingTimeout = 15 * time.Second
)

// apiServers reaches the cluster's API servers: all of them through a load
// balancer on the host, and each by itself.
type apiServers struct {
	balancer *balancer.Balancer
	port     int // of the balancer
	kube     *kube.Client
	dial     node.DialFunc
	tls      credentials.ConfigFunc
	// connections are those of the daemon's own clients.
	connections *connrotation.ConnectionTracker
	state       *store
	frozen      func(context.Context) bool
	standby     *standby.Gate
	socket      string // of the clients that are processes of the cluster itself
	log         *slog.Logger
	// opened is the address for which the balancer's first listener was opened.
	opened string

	// Both are sent when the addresses of the API may have changed.
	changed, alsoChanged wakeup.Signal
	// refused is when the port could not be opened on all addresses of the host, in
	// nanoseconds since 1970; 0 if the last attempt succeeded or none was made. Until the
	// next attempt, the API answers on 127.0.0.1 only.
	refused atomic.Int64
}

// listen opens the listener of the API load balancer that includes 127.0.0.1.
func listen(spec cluster.Spec) (net.Listener, error) {
	first, _ := cluster.APIListeners(spec)
	listener, err := net.Listen("tcp", first)
	if err != nil {
		host, port, _ := net.SplitHostPort(first)
		return nil, operation.Invalid(fmt.Errorf("port %s on %s is in use", port, host), "choose another with --api-port, or 0 for any free one")
	}
	return listener, nil
}

func newAPIServers(c core, listener net.Listener) (*apiServers, error) {
	a := &apiServers{
		connections: connrotation.NewConnectionTracker(),
		balancer:    &balancer.Balancer{Listener: listener, Dial: c.dial, Use: c.standby.User(standby.API), Log: c.log},
		port:        listener.Addr().(*net.TCPAddr).Port, dial: c.dial, tls: c.credentials.ClientConfig(credentials.ClusterCA, credentials.Admin), state: c.state, frozen: c.frozen, standby: c.standby, socket: c.dir.APISocket(), log: c.log,
		changed: wakeup.New(), alsoChanged: wakeup.New(),
	}
	a.opened, _ = a.addresses()
	var err error
	a.kube, err = kube.New(a.config(a.transport()))
	return a, err
}

// move lets serve and serveAlso look at the addresses again.
func (a *apiServers) move() {
	a.changed.Send()
	a.alsoChanged.Send()
}

// addresses returns where the host answers for the API, as cluster.APIListeners. While
// all addresses are refused, the second one is what the user asked for.
func (a *apiServers) addresses() (first, second string) {
	spec := a.state.spec()
	spec.APIPort = a.port
	first, second = cluster.APIListeners(spec)
	if second == "" && a.refused.Load() != 0 {
		spec.APIAddress = ""
		only, _ := cluster.APIListeners(spec)
		if first != only {
			return only, first
		}
	}
	return first, second
}

// serve runs the load balancer on the address that includes 127.0.0.1, until ctx ends.
func (a *apiServers) serve(ctx context.Context) error {
	first := func() string { address, _ := a.addresses(); return address }
	for at := a.opened; ctx.Err() == nil; at = first() {
		if a.balancer.Listener == nil {
			listener, err := net.Listen("tcp", at)
			if errors.Is(err, syscall.EADDRINUSE) && unspecified(at) {
				a.refused.Store(time.Now().UnixNano())
				a.alsoChanged.Send()
				continue // with 127.0.0.1
			}
			if err != nil {
				return err
			}
			a.balancer.Listener = listener
		}
		current, cancel := untilOther(ctx, a.changed, at, first)
		err := a.balancer.Run(current)
		cancel()
		a.balancer.Listener = nil
		if err != nil {
			return err
		}
	}
	return nil
}

// serveAlso runs the load balancer on the address that the user asked for, if any,
// until ctx ends.
func (a *apiServers) serveAlso(ctx context.Context) error {
	second := func() string { _, address := a.addresses(); return address }
	for ctx.Err() == nil {
		at := second()
		if unspecified(at) {
			if time.Since(time.Unix(0, a.refused.Load())) < refusedPeriod || !vacant(at) {
				return fmt.Errorf("serve the API at apiAddress: another program uses port %d on one of this host's addresses", a.port)
			}
			a.refused.Store(0)
			a.changed.Send()
			continue
		}
		current, cancel := untilOther(ctx, a.alsoChanged, at, second)
		err := a.serveAt(current, at)
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}

// unspecified reports whether HOST:PORT stands for all addresses of the host.
func unspecified(address string) bool {
	at, err := netip.ParseAddrPort(address)
	return err == nil && at.Addr().IsUnspecified()
}

// vacant reports whether the port of HOST:PORT is free on all of the host's addresses, as
// far as this user can find out.
func vacant(address string) bool {
	_, port, _ := net.SplitHostPort(address)
	all, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, one := range all {
		prefix, err := netip.ParsePrefix(one.String())
		if err != nil || prefix.Addr() == netip.AddrFrom4([4]byte{127, 0, 0, 1}) {
			continue // the load balancer has it there
		}
		listener, err := net.Listen("tcp", net.JoinHostPort(prefix.Addr().String(), port))
		if errors.Is(err, syscall.EADDRINUSE) {
			return false
		}
		if err == nil {
			_ = listener.Close()
		}
	}
	return true
}

// serveAt runs the load balancer on an address until ctx ends. Without an address, it
// only waits.
func (a *apiServers) serveAt(ctx context.Context, address string) error {
	if address == "" {
		<-ctx.Done()
		return nil
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("serve the API at apiAddress: %w", err)
	}
	a.log.Info("the API answers at a further address", "address", address)
	return a.balancer.Serve(ctx, listener)
}

// untilOther returns a context that ends with ctx, or when a signal comes and current
// no longer returns value. The caller cancels it before it waits for the signal again.
func untilOther[T comparable](ctx context.Context, signal <-chan struct{}, value T, current func() T) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer cancel()
		for current() == value {
			select {
			case <-signal:
			case <-ctx.Done():
				return
			}
		}
	}()
	return ctx, func() {
		cancel()
		<-ended
	}
}

// serveOwn lets other processes of this cluster reach the API through a socket until ctx
// ends. Their requests do not count as use of the cluster, and wait while the cluster is asleep.
func (a *apiServers) serveOwn(ctx context.Context) error {
	listener, err := unixsocket.Listen(a.socket)
	if err != nil {
		return fmt.Errorf("serve the API to the cluster's own processes: %w", err)
	}
	return a.balancer.ServeAs(ctx, listener, func(ctx context.Context) (func(), error) {
		return func() {}, a.standby.Await(ctx)
	})
}

// transport authenticates as the cluster's administrator.
func (a *apiServers) transport() *http.Transport { return a.transportAs(a.tls) }

// transportAs returns a transport with the certificate of a TLS configuration. Its
// connections are no use of the cluster.
func (a *apiServers) transportAs(user credentials.ConfigFunc) *http.Transport {
	return a.transportVia(user, func(ctx context.Context, _, _ string) (net.Conn, error) { return a.balancer.Connect(ctx) })
}

func (a *apiServers) transportVia(user credentials.ConfigFunc, dial node.DialFunc) *http.Transport {
	return &http.Transport{
		ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute,
		DialTLSContext: user.DialTLS(a.tracked(dial), "h2", "http/1.1"),
	}
}

// tracked returns dial with connections that reconnect closes.
func (a *apiServers) tracked(dial node.DialFunc) node.DialFunc {
	return connrotation.NewDialerWithTracker(connrotation.DialFunc(dial), a.connections).DialContext
}

// reconnect closes the connections of the daemon's own clients, which were authenticated
// with a certificate that has been replaced.
func (a *apiServers) reconnect() { a.connections.CloseAll() }

// config is the configuration of a client that uses a transport.
func (a *apiServers) config(transport *http.Transport) *rest.Config {
	return &rest.Config{Host: cluster.Server(a.port), Transport: transport}
}

// watchConfig is the configuration of a client for watches.
func (a *apiServers) watchConfig() *rest.Config { return a.watchConfigAs(a.tls) }

// watchConfigAs is watchConfig with the certificate of a TLS configuration.
func (a *apiServers) watchConfigAs(user credentials.ConfigFunc) *rest.Config {
	transport := a.transportAs(user)
	transport.HTTP2 = &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout}
	return a.config(transport)
}

// client returns a client that authenticates with one of the host's certificates.
func (a *apiServers) client(store *credentials.Store, certificate string) (*kube.Client, error) {
	return kube.New(a.config(a.transportAs(store.ClientConfig(credentials.ClusterCA, certificate))))
}

// probe returns a client of single API servers, without the load balancer. The
// caller closes its idle connections.
func (a *apiServers) probe() *http.Client {
	return &http.Client{Transport: a.transportVia(a.tls, a.dial)}
}

// single returns a client of the API server of one node. The caller closes the idle
// connections of its transport.
func (a *apiServers) single(n cluster.Node) (*kube.Client, *http.Transport, error) {
	transport := a.transportVia(a.tls, a.dial)
	client, err := kube.New(&rest.Config{Host: "https://" + endpoint(n), Transport: transport})
	return client, transport, err
}

func endpoint(n cluster.Node) string {
	return netip.AddrPortFrom(n.Address.Addr(), nodeconfig.PortKubernetes).String()
}

func endpoints(nodes []cluster.Node) []string {
	var all []string
	for _, n := range nodes {
		all = append(all, endpoint(n))
	}
	return all
}

// balance makes all desired control planes backends of the API load balancer.
// Those that are leaving get no new connections.
func (a *apiServers) balance() {
	a.balancer.SetBackends(endpoints(a.state.controlPlanes()), endpoints(a.state.leaving())...)
}

// follow removes control planes that are not ready from the API load
// balancer while others are: one that hangs still accepts connections.
func (a *apiServers) follow(ctx context.Context) error {
	probe := a.probe()
	defer probe.CloseIdleConnections()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(followPeriod):
		}
		planes := a.state.controlPlanes()
		if len(planes) < 2 || a.frozen(ctx) {
			continue
		}
		if serving := serving(ctx, probe, planes); len(serving) > 0 && !a.frozen(ctx) {
			a.balancer.SetBackends(serving, endpoints(a.state.leaving())...)
		}
	}
}

// serving returns the endpoints of the control planes that are ready.
func serving(ctx context.Context, probe *http.Client, planes []cluster.Node) []string {
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	ready := make([]bool, len(planes))
	var all sync.WaitGroup
	for i, n := range planes {
		all.Go(func() { ready[i] = fetch(ctx, probe, n, "/readyz") == nil })
	}
	all.Wait()
	var found []string
	for i, n := range planes {
		if ready[i] {
			found = append(found, endpoint(n))
		}
	}
	return found
}

// fetch gets a path from the API server of n itself and discards the answer.
func fetch(ctx context.Context, probe *http.Client, n cluster.Node, path string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+endpoint(n)+path, nil)
	if err != nil {
		return err
	}
	response, err := probe.Do(request)
	if err != nil {
		return fmt.Errorf("reach the API server of %s: %w", n.Name, err)
	}
	defer func() { _ = response.Body.Close() }()
	_, err = io.Copy(io.Discard, response.Body)
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the API server of %s returned %s for %s", n.Name, response.Status, path)
	}
	return err
}
