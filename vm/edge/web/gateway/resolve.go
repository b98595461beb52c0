package gateway

import (
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/skiff-dev/skiff/vm/edge/web/route"
)

// Request is what an Action depends on.
type Request struct {
	// Gateway and Port are the listener's that the client connected to. Entry is set
	// instead if it was the web entry of the host, which serves all Gateways.
	Gateway types.NamespacedName
	Port    int32
	Entry   bool
	// OtherPort is the port at which the entry serves the other one of HTTP and HTTPS, 0
	// for the standard one.
	OtherPort int32
	TLS       bool
	// ServerName is the host that the client named for TLS, Host that of the request;
	// both as route.Host returns them, "" for an address.
	ServerName, Host string
	// Address is the IP address that the client used instead of a host name, if it did.
	Address netip.Addr
	Method  string
	// Path of the URL, decoded.
	Path, RawQuery string
	Header         http.Header
	// GRPC is set for calls of gRPC.
	GRPC bool
}

// Action is what to do with a request.
type Action struct {
	// Status is the answer, if there is no backend: 0 means that there is one.
	Status int
	// Location is the target of a redirect.
	Location string
	CORS     *CORS

	Backend           route.Backend
	Request, Response []HeaderChange
	// Host and Path replace those of the request, if they are not empty.
	Host, Path string
	Mirrors    []Mirror
	// Timeout bounds the answer of the backend; 0 means no limit.
	Timeout time.Duration
}

// Resolve routes a request. random returns a number from 0 to n-1.
func (t *Table) Resolve(r Request, random func(n int) int) Action {
	if r.Entry {
		return t.resolveEntry(r, random)
	}
	listeners := t.listeners[key{r.Gateway, r.Port}]
	l := find(listeners, r.TLS, r.Host)
	if r.TLS && l != find(listeners, true, r.ServerName) {
		return Action{Status: http.StatusMisdirectedRequest}
	}
	if l == nil {
		return Action{Status: http.StatusNotFound}
	}
	if found := l.find(r); found != nil {
		return found.act(r, random)
	}
	return Action{Status: http.StatusNotFound}
}

// resolveEntry routes a request at the web entry. Several Gateways may have a listener for
// its host; the first with a rule for the request answers.
func (t *Table) resolveEntry(r Request, random func(n int) int) Action {
	var best *rule
	for _, l := range t.entry {
		if !l.speaksHTTP(r.TLS) || !covers(l.hostname, r.Host) {
			continue
		}
		if found := l.find(r); found != nil && (best == nil || specificity(found.hostname) > specificity(best.hostname)) {
			best = found
		}
	}
	if best == nil {
		return Action{Status: http.StatusNotFound}
	}
	return best.act(r, random)
}

func (l *listener) speaksHTTP(secure bool) bool {
	if secure {
		return l.protocol == gatewayv1.HTTPSProtocolType
	}
	return l.protocol == gatewayv1.HTTPProtocolType
}

// find returns the listener with the most specific hostname for a host, nil if there is
// none.
func find(listeners []*listener, secure bool, host string) *listener {
	var best *listener
	for _, l := range listeners {
		if !l.speaksHTTP(secure) || !covers(l.hostname, host) {
			continue
		}
		if best == nil || specificity(l.hostname) > specificity(best.hostname) {
			best = l
		}
	}
	return best
}

// find returns the rule for a request, nil if there is none.
func (l *listener) find(r Request) *rule {
	path := route.Clean(r.Path)
	query, _ := url.ParseQuery(r.RawQuery) // what can be parsed counts
	for _, one := range l.rules {
		if covers(one.hostname, r.Host) && one.match.matches(path, r, query) {
			return one
		}
	}
	return nil
}

// act returns what a rule does with a request.
func (r *rule) act(request Request, random func(n int) int) Action {
	path := route.Clean(request.Path)
	a := Action{Response: r.response}
	if r.cors != nil {
		if a.CORS = answer(r.cors, request); a.CORS != nil && a.CORS.Preflight {
			a.Status = http.StatusNoContent
			return a
		}
	}
	if r.unsupported != "" {
		return Action{Status: http.StatusInternalServerError}
	}
	if f := r.redirect; f != nil {
		return a.redirect(f, r.match.path, path, request)
	}
	chosen, ok := r.choose(random)
	if !ok || chosen.filters.unsupported != "" {
		a.Status = http.StatusInternalServerError
		return a
	}
	if f := chosen.filters.redirect; f != nil {
		return a.redirect(f, r.match.path, path, request)
	}
	if a.Status = chosen.status(); a.Status != 0 {
		return a
	}
	a.Backend = chosen.decision.Backend
	a.Request = slices.Concat(r.request, chosen.filters.request)
	a.Response = slices.Concat(r.response, chosen.filters.response)
	for _, m := range slices.Concat(r.mirrors, chosen.filters.mirrors) {
		if random(int(m.Denominator)) < int(m.Numerator) {
			a.Mirrors = append(a.Mirrors, m)
		}
	}
	for _, rewrite := range []*gatewayv1.HTTPURLRewriteFilter{r.rewrite, chosen.filters.rewrite} {
		if rewrite == nil {
			continue
		}
		if rewrite.Hostname != nil {
			a.Host = string(*rewrite.Hostname)
		}
		if rewrite.Path != nil {
			a.Path = replace(rewrite.Path, r.match.path, path)
		}
	}
	a.Timeout = shorter(r.timeout, r.backendTimeout)
	return a
}

func (a Action) redirect(f *gatewayv1.HTTPRequestRedirectFilter, matched pathMatch, path string, r Request) Action {
	a.Status = http.StatusFound
	if f.StatusCode != nil {
		a.Status = *f.StatusCode
	}
	a.Location = location(f, matched, path, r)
	return a
}

// shorter returns the shorter one of two limits, of which 0 means none.
func shorter(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// Hosts returns the hosts for which the web entry has a route, wildcards included, sorted.
// "" stands for routes without a host.
func (t *Table) Hosts() []string { return t.hosts }

// hostsOf returns the hosts of all rules of listeners.
func hostsOf(listeners []*listener) []string {
	found := map[string]bool{}
	for _, l := range listeners {
		for _, one := range l.rules {
			found[one.hostname] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// Claims reports whether the web entry has a route for exactly this host, or a wildcard
// that covers it. A route without a host claims none: a web site whose name resolves to
// 127.0.0.1 must not reach a cluster.
func (t *Table) Claims(host string) (exact, covered bool) {
	for _, pattern := range t.hosts {
		switch {
		case host == "" || pattern == "":
		case pattern == host:
			exact = true
		case covers(pattern, host):
			covered = true
		}
	}
	return exact, covered
}

// HasOpenRoute reports whether the web entry has a route without a host.
func (t *Table) HasOpenRoute() bool { return slices.Contains(t.hosts, "") }

// CertificatesFor returns the secrets of the listener at a port that answers for a host,
// and false if none does. Without a gateway it answers for the web entry.
func (t *Table) CertificatesFor(gateway types.NamespacedName, port int32, host string) ([]types.NamespacedName, bool) {
	listeners := t.entry
	if gateway.Name != "" {
		listeners = t.listeners[key{gateway, port}]
	}
	l := find(listeners, true, host)
	if l == nil {
		return nil, false
	}
	return l.secrets, true
}
