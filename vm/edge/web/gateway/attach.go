package gateway

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/skiff-dev/skiff/vm/edge/web/route"
)

// The kinds of routes.
const (
	kindHTTP = "HTTPRoute"
	kindGRPC = "GRPCRoute"
	kindTLS  = "TLSRoute"
)

// attachment is a route of any kind, and what became of it.
type attachment struct {
	kind          string
	object        metav1.Object
	parents       []gatewayv1.ParentReference
	hostnames     []gatewayv1.Hostname
	status        gatewayv1.RouteStatus
	invalid, refs problem
	rules         []*rule
	stream        *stream // of a TLSRoute

	results []result
}

// result is what became of one reference to a Gateway of this controller.
type result struct {
	parent   gatewayv1.ParentReference
	accepted problem
}

// stream is where the TLS connections of a TLSRoute go.
type stream struct {
	hostname string
	owner    metav1.Object
	*action
}

func (s *stream) compare(other *stream) int {
	return cmp.Or(cmp.Compare(specificity(other.hostname), specificity(s.hostname)), older(s.owner, other.owner))
}

// routes returns the routes of all kinds.
func (b *builder) routes() []*attachment {
	var all []*attachment
	for _, o := range b.HTTPRoutes {
		r := &attachment{kind: kindHTTP, object: o, parents: o.Spec.ParentRefs, hostnames: o.Spec.Hostnames, status: o.Status.RouteStatus}
		r.rules, r.invalid, r.refs = b.httpRules(o)
		all = append(all, r)
	}
	for _, o := range b.GRPCRoutes {
		r := &attachment{kind: kindGRPC, object: o, parents: o.Spec.ParentRefs, hostnames: o.Spec.Hostnames, status: o.Status.RouteStatus}
		r.rules, r.invalid, r.refs = b.grpcRules(o)
		all = append(all, r)
	}
	for _, o := range b.TLSRoutes {
		r := &attachment{kind: kindTLS, object: o, parents: o.Spec.ParentRefs, hostnames: o.Spec.Hostnames, status: o.Status.RouteStatus}
		a := &action{}
		for _, spec := range o.Spec.Rules {
			for _, ref := range spec.BackendRefs {
				a.add(b, kindTLS, o.Namespace, ref, filters{}, &r.invalid, &r.refs)
			}
		}
		r.stream = &stream{owner: o, action: a}
		all = append(all, r)
	}
	return all
}

// attach attaches a route to the listeners that its parents name.
func (b *builder) attach(gateways []*served, r *attachment) {
	counted := map[*listener]bool{}
	for _, parent := range r.parents {
		if ptr.Deref(parent.Group, group) != group || ptr.Deref(parent.Kind, "Gateway") != "Gateway" {
			continue
		}
		name := types.NamespacedName{Namespace: string(ptr.Deref(parent.Namespace, gatewayv1.Namespace(r.object.GetNamespace()))), Name: string(parent.Name)}
		i := slices.IndexFunc(gateways, func(s *served) bool { return s.name == name })
		if i < 0 {
			continue
		}
		r.results = append(r.results, result{parent, r.join(gateways[i], parent, counted)})
	}
}

// join attaches a route to the listeners of one parent, and returns why there is none.
func (r *attachment) join(s *served, parent gatewayv1.ParentReference, counted map[*listener]bool) problem {
	if r.invalid.exists() {
		return r.invalid
	}
	failure := problem{string(gatewayv1.RouteReasonNoMatchingParent), fmt.Sprintf("the Gateway %s has no such listener", s.name)}
	attached := false
	for _, l := range s.listeners {
		switch {
		case parent.SectionName != nil && *parent.SectionName != l.name, parent.Port != nil && *parent.Port != l.port:
			continue
		case !slices.Contains(l.kinds, r.kind) || !l.namespaces(r.object.GetNamespace()):
			failure = worse(failure, problem{string(gatewayv1.RouteReasonNotAllowedByListeners), fmt.Sprintf("the listener %s does not allow this kind or namespace", l.name)})
			continue
		}
		hosts := r.hosts(l)
		if len(hosts) == 0 {
			failure = worse(failure, problem{string(gatewayv1.RouteReasonNoMatchingListenerHostname), fmt.Sprintf("the listener %s has none of the hostnames", l.name)})
			continue
		}
		attached = true
		if !counted[l] {
			counted[l] = true
			l.attached++
			l.take(r, hosts)
		}
	}
	if attached {
		return problem{}
	}
	return failure
}

// worse returns the failure that says more: a listener that exists before one that does
// not, and a hostname before a permission.
func worse(a, b problem) problem {
	if a.reason == string(gatewayv1.RouteReasonNoMatchingListenerHostname) {
		return a
	}
	return b
}

// hosts returns the hosts that a route has at a listener.
func (r *attachment) hosts(l *listener) []string {
	if len(r.hostnames) == 0 {
		return []string{l.hostname}
	}
	var hosts []string
	for _, h := range r.hostnames {
		if host, ok := intersect(strings.ToLower(string(h)), l.hostname); ok && !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

// take adds what a route does at its hosts to a listener.
func (l *listener) take(r *attachment, hosts []string) {
	for _, host := range hosts {
		for _, one := range r.rules {
			copied := *one
			copied.hostname = host
			l.rules = append(l.rules, &copied)
		}
		if r.stream != nil {
			l.streams = append(l.streams, &stream{hostname: host, owner: r.stream.owner, action: r.stream.action})
		}
	}
}

// Stream is where a TLS connection goes.
type Stream struct {
	// Terminate is set if the Gateway ends TLS itself, with one of the certificates in
	// Secrets.
	Terminate bool
	Secrets   []types.NamespacedName
	// HTTP is set if the requests in the connection are routed one by one.
	HTTP bool
	// Backend gets the connection unless HTTP is set.
	Backend route.Backend
}

// HasStreams reports whether a port of a Gateway has a listener that is not of HTTP.
func (t *Table) HasStreams(gateway types.NamespacedName, port int32) bool {
	return slices.ContainsFunc(t.listeners[key{gateway, port}], func(l *listener) bool { return l.protocol == gatewayv1.TLSProtocolType })
}

// ResolveStream routes a TLS connection by the name that the client asked for; false if
// nothing answers for it.
func (t *Table) ResolveStream(gateway types.NamespacedName, port int32, serverName string, random func(n int) int) (Stream, bool) {
	var best *listener
	for _, l := range t.listeners[key{gateway, port}] {
		if covers(l.hostname, serverName) && (best == nil || specificity(l.hostname) > specificity(best.hostname)) {
			best = l
		}
	}
	if best == nil {
		return Stream{}, false
	}
	if best.protocol == gatewayv1.HTTPSProtocolType {
		return Stream{HTTP: true, Terminate: true, Secrets: best.secrets}, true
	}
	for _, s := range best.streams {
		if !covers(s.hostname, serverName) {
			continue
		}
		chosen, ok := s.choose(random)
		if !ok || chosen.status() != 0 {
			return Stream{}, false
		}
		return Stream{Terminate: !best.passthrough, Secrets: best.secrets, Backend: chosen.decision.Backend}, true
	}
	return Stream{}, false
}
