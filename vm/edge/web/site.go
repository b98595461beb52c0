package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skiff-dev/skiff/vm/edge/web/gateway"
	"github.com/skiff-dev/skiff/vm/edge/web/route"
)

// site answers requests for one cluster.
type site struct {
	cluster  string
	table    atomic.Pointer[route.Table]
	gateways atomic.Pointer[gateway.Table]
	proxy    *proxy
	// frozen reports whether the cluster is paused.
	frozen func(context.Context) bool
	// use begins a use of the cluster and waits until it is awake.
	use func(context.Context) (end func(), err error)
	// entryPorts returns the ports of the web entry.
	entryPorts func() Ports
}

func newSite(cluster string, dial DialFunc, frozen func(context.Context) bool, entryPorts func() Ports, log *slog.Logger) *site {
	s := &site{cluster: cluster, proxy: newProxy(dial, log), frozen: remembered(frozen), entryPorts: entryPorts}
	s.use = func(context.Context) (func(), error) { return func() {}, nil }
	s.table.Store(route.New(cluster, route.Objects{}))
	s.gateways.Store(gateway.New(gateway.Objects{}, gateway.Environment{Services: s.table.Load()}))
	return s
}

// rememberFor is how long it is known that a cluster is not paused. To ask costs a look at
// every machine.
const rememberFor = 500 * time.Millisecond

func remembered(ask func(context.Context) bool) func(context.Context) bool {
	var mu sync.Mutex // guards the variables below
	var last bool
	var at time.Time
	return func(ctx context.Context) bool {
		mu.Lock()
		defer mu.Unlock()
		if last || time.Since(at) > rememberFor {
			last, at = ask(ctx), time.Now()
		}
		return last
	}
}

// arrival is how a request reached a site.
type arrival string

const (
	onLoopback arrival = "loopback" // at the entry of this daemon
	fromEntry  arrival = "entry"    // forwarded by another daemon of this user
	inside     arrival = "inside"   // at the cluster's own address, from a machine
)

// handler returns the site's handler for one way of arrival.
func (s *site) handler(from arrival) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, from) })
}

// hosts returns the hosts of Ingresses and Gateways, wildcards included.
func (s *site) hosts() []string {
	hosts := slices.Concat(s.table.Load().Hosts(), s.gateways.Load().Hosts())
	slices.Sort(hosts)
	return slices.DeleteFunc(slices.Compact(hosts), func(host string) bool { return host == "" })
}

// serve answers a request. Those of this host are uses of the cluster, until they end.
func (s *site) serve(w http.ResponseWriter, r *http.Request, from arrival) {
	if from != inside {
		end, err := s.use(r.Context())
		if err != nil {
			return // the client is gone
		}
		defer end()
	}
	host := route.Host(r.Host)
	table := s.table.Load()
	exact, covered := s.gateways.Load().Claims(host)
	if from != inside && exact && !table.HasHost(host) {
		s.serveEntry(w, r, from)
		return
	}
	decision := table.Resolve(route.Request{Host: host, Path: r.URL.Path, Inside: from == inside})
	own := host == s.cluster+"."+route.Domain && s.gateways.Load().HasOpenRoute()
	if from != inside && unrouted(decision) && (covered || own) {
		s.serveEntry(w, r, from)
		return
	}
	if decision.Outcome != route.Forward {
		s.explain(table, host, decision, view(r, from)).serve(w, r)
		return
	}
	s.forward(w, r, gateway.Action{Backend: decision.Backend}, from)
}

// unrouted reports whether no Ingress and no Service answers.
func unrouted(d route.Decision) bool {
	return d.Outcome == route.Overview || d.Outcome == route.NoService || d.Outcome == route.NoRule && !d.Resource
}

var errPaused = errors.New("the cluster is paused")

// awake returns an error if the cluster is paused. If it is only asleep, awake waits until
// it is not: the request has come through the tunnel.
func (s *site) awake(ctx context.Context) error {
	if !s.frozen(ctx) {
		return nil
	}
	end, err := s.use(ctx)
	if err != nil {
		return err
	}
	defer end()
	if s.frozen(ctx) {
		return errPaused
	}
	return nil
}

// forward sends a request to its backend, unless the cluster is paused.
func (s *site) forward(w http.ResponseWriter, r *http.Request, action gateway.Action, from arrival) {
	if s.awake(r.Context()) != nil {
		page{
			status: http.StatusServiceUnavailable, title: fmt.Sprintf("Cluster %s is paused", s.cluster),
			lines: []string{"Resume it: skiff resume " + s.cluster}, waits: true,
		}.serve(w, r)
		return
	}
	s.proxy.forward(w, r, action, from == fromEntry)
}

// base is the scheme and the port by which the client reached the entry.
type base struct{ scheme, port string }

func view(r *http.Request, from arrival) base {
	b := base{scheme: "http"}
	if r.TLS != nil || from == fromEntry && r.Header.Get(forwardedProto) == "https" {
		b.scheme = "https"
	}
	_, b.port, _ = net.SplitHostPort(r.Host)
	return b
}

func (b base) url(host string) string {
	if b.port != "" {
		host = net.JoinHostPort(host, b.port)
	}
	return b.scheme + "://" + host + "/"
}

// explain returns the page for a request that is not forwarded.
func (s *site) explain(table *route.Table, host string, d route.Decision, b base) page {
	service := d.Backend.Service
	p := page{status: http.StatusNotFound}
	switch d.Outcome {
	case route.Overview:
		return s.overview(table, b)
	case route.NoEndpoints:
		p.status, p.waits = http.StatusServiceUnavailable, true
		p.title = fmt.Sprintf("Service %s has no ready endpoints", service)
		p.lines = []string{
			"No pod that its selector matches is ready. See why:",
			fmt.Sprintf("kubectl --context skiff-%s -n %s describe service,endpointslices,pods", s.cluster, service.Namespace),
		}
	case route.NoService:
		p.title = fmt.Sprintf("There is no Service %s in the cluster %s", service, s.cluster)
		p.lines, p.links = s.suggest(table, host, b)
	case route.NoPort:
		p.title = fmt.Sprintf("Service %s has no port %s", service, d.Port)
		if d.Port == "" {
			p.title = fmt.Sprintf("Service %s has several ports, and none is known to speak HTTP", service)
		}
		if len(d.Ports) == 0 {
			p.lines = []string{"It has no TCP port."}
			break
		}
		p.lines = []string{"Choose a port by its name or number:"}
		for _, port := range d.Ports {
			p.links = append(p.links, b.url(route.Name{Port: port, Service: service.Name, Namespace: service.Namespace, Cluster: s.cluster}.String()))
		}
	case route.External:
		p.title = fmt.Sprintf("Service %s only names another host", service)
		p.lines = []string{"Services of type ExternalName are not forwarded."}
	default:
		p.title = fmt.Sprintf("No Ingress of the cluster %s has a rule for this host and path", s.cluster)
		if d.Resource {
			p.title = "The Ingress names a backend that is not a Service"
		}
		p.lines, p.links = s.suggest(table, host, b)
	}
	return p
}

// suggest returns links to the names that are closest to a host.
func (s *site) suggest(table *route.Table, host string, b base) (lines, links []string) {
	names := table.Names()
	if len(names) == 0 {
		return []string{"The cluster has no Services, or is not ready."}, nil
	}
	lines = []string{"A name has the form SERVICE.NAMESPACE." + s.cluster + "." + route.Domain + ". The closest ones are:"}
	for _, name := range nearest(host, names) {
		links = append(links, b.url(name))
	}
	return lines, links
}

func (s *site) overview(table *route.Table, b base) page {
	p := page{status: http.StatusOK, title: "Services of the cluster " + s.cluster}
	for _, host := range s.hosts() {
		if !strings.HasPrefix(host, "*.") {
			p.links = append(p.links, b.url(host))
		}
	}
	for _, name := range table.Names() {
		p.links = append(p.links, b.url(name))
	}
	if len(p.links) == 0 {
		p.lines = []string{"The cluster has no Services, or is not ready."}
	}
	return p
}

// maxNear is how many names a page suggests.
const maxNear = 8

// nearest returns the names that have most in common with host, best first: those
// whose first labels begin alike, then the others in order.
func nearest(host string, names []string) []string {
	all := slices.Clone(names)
	slices.SortStableFunc(all, func(a, b string) int { return cmp.Compare(likeness(b, host), likeness(a, host)) })
	return all[:min(len(all), maxNear)]
}

// likeness is the length of the longest beginning that two names share, and one more
// for each label that they share.
func likeness(a, b string) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	other := strings.Split(b, ".")
	for _, label := range strings.Split(a, ".") {
		if slices.Contains(other, label) {
			n++
		}
	}
	return n
}
