package gateway

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/skiff-dev/skiff/vm/edge/web/route"
)

// rule is one match of a route's rule, at one host.
type rule struct {
	hostname string
	match    match
	owner    metav1.Object
	index    int // in the route
	*action
}

// action is what a rule does with requests.
type action struct {
	filters
	backends                []backend
	timeout, backendTimeout time.Duration
}

// backend is one of a rule's backends.
type backend struct {
	weight   int
	decision route.Decision
	problem  problem
	filters  filters
}

// compare orders rules by precedence.
func (r *rule) compare(other *rule) int {
	return cmp.Or(
		cmp.Compare(specificity(other.hostname), specificity(r.hostname)),
		cmp.Compare(other.match.path.weight(), r.match.path.weight()),
		cmp.Compare(len(other.match.method), len(r.match.method)),
		cmp.Compare(len(other.match.headers), len(r.match.headers)),
		cmp.Compare(len(other.match.query), len(r.match.query)),
		older(r.owner, other.owner),
		cmp.Compare(r.index, other.index),
	)
}

// sort puts the rules of a listener in the order in which they are tried.
func (l *listener) sort() {
	slices.SortStableFunc(l.rules, (*rule).compare)
	slices.SortStableFunc(l.streams, (*stream).compare)
}

// httpRules compiles the rules of an HTTPRoute.
func (b *builder) httpRules(o *gatewayv1.HTTPRoute) (rules []*rule, invalid, refs problem) {
	for i, spec := range o.Spec.Rules {
		a := &action{filters: b.filter(kindHTTP, o.Namespace, spec.Filters)}
		a.note(&invalid, &refs)
		for _, ref := range spec.BackendRefs {
			f := b.filter(kindHTTP, o.Namespace, ref.Filters)
			a.add(b, kindHTTP, o.Namespace, ref.BackendRef, f, &invalid, &refs)
		}
		if t := spec.Timeouts; t != nil {
			a.timeout, a.backendTimeout = duration(t.Request), duration(t.BackendRequest)
		}
		matches := spec.Matches
		if len(matches) == 0 {
			matches = []gatewayv1.HTTPRouteMatch{{}}
		}
		for _, m := range matches {
			compiled, err := httpMatch(m)
			if err != nil {
				invalid = unsupportedValue(err.Error())
				continue
			}
			rules = append(rules, &rule{match: compiled, owner: o, index: i, action: a})
		}
	}
	return rules, invalid, refs
}

// grpcRules compiles the rules of a GRPCRoute.
func (b *builder) grpcRules(o *gatewayv1.GRPCRoute) (rules []*rule, invalid, refs problem) {
	for i, spec := range o.Spec.Rules {
		a := &action{filters: b.grpcFilter(o.Namespace, spec.Filters)}
		a.note(&invalid, &refs)
		for _, ref := range spec.BackendRefs {
			f := b.grpcFilter(o.Namespace, ref.Filters)
			a.add(b, kindGRPC, o.Namespace, ref.BackendRef, f, &invalid, &refs)
		}
		matches := spec.Matches
		if len(matches) == 0 {
			matches = []gatewayv1.GRPCRouteMatch{{}}
		}
		for _, m := range matches {
			compiled, err := grpcMatch(m)
			if err != nil {
				invalid = unsupportedValue(err.Error())
				continue
			}
			rules = append(rules, &rule{match: compiled, owner: o, index: i, action: a})
		}
	}
	return rules, invalid, refs
}

func unsupportedValue(message string) problem {
	return problem{string(gatewayv1.RouteReasonUnsupportedValue), message}
}

// note records what is wrong with filters.
func (f filters) note(invalid, refs *problem) {
	if f.unsupported != "" {
		*invalid = unsupportedValue(f.unsupported)
	}
	if f.refs.exists() {
		*refs = f.refs
	}
}

// add adds a backend. One that cannot be resolved keeps its share of the requests, which
// fail.
func (a *action) add(b *builder, kind, namespace string, ref gatewayv1.BackendRef, f filters, invalid, refs *problem) {
	f.note(invalid, refs)
	one := backend{weight: int(ptr.Deref(ref.Weight, 1)), filters: f}
	if one.decision, one.problem = b.resolve(kind, namespace, ref.BackendObjectReference); one.problem.exists() {
		*refs = one.problem
	}
	a.backends = append(a.backends, one)
}

// resolve returns the Service that a route of a kind and a namespace refers to.
func (b *builder) resolve(kind, namespace string, ref gatewayv1.BackendObjectReference) (route.Decision, problem) {
	name := types.NamespacedName{Namespace: string(ptr.Deref(ref.Namespace, gatewayv1.Namespace(namespace))), Name: string(ref.Name)}
	switch {
	case ptr.Deref(ref.Group, core) != core || ptr.Deref(ref.Kind, "Service") != "Service":
		return route.Decision{}, problem{string(gatewayv1.RouteReasonInvalidKind), fmt.Sprintf("the backend %s is not a Service", ref.Name)}
	case !b.permits(reference{kind, namespace, "Service", name}):
		return route.Decision{}, problem{string(gatewayv1.RouteReasonRefNotPermitted), fmt.Sprintf("no ReferenceGrant permits the Service %s", name)}
	}
	port := ptr.Deref(ref.Port, 0)
	decision := b.Services.Backend(name, port)
	notFound := string(gatewayv1.RouteReasonBackendNotFound)
	switch decision.Outcome {
	case route.NoService:
		return decision, problem{notFound, fmt.Sprintf("there is no Service %s", name)}
	case route.NoPort:
		return decision, problem{notFound, fmt.Sprintf("the Service %s has no TCP port %d", name, port)}
	case route.External:
		return decision, problem{string(gatewayv1.RouteReasonUnsupportedProtocol), fmt.Sprintf("the Service %s only names another host", name)}
	}
	return decision, problem{}
}

// duration returns the value of a duration (GEP-2257), which Go understands too. Zero
// means no limit.
func duration(d *gatewayv1.Duration) time.Duration {
	parsed, err := time.ParseDuration(string(ptr.Deref(d, "0s")))
	if err != nil {
		return 0
	}
	return parsed
}

// choose returns a backend by weight; false if all weights are zero. random returns a
// number from 0 to n-1.
func (a *action) choose(random func(n int) int) (backend, bool) {
	total := 0
	for _, one := range a.backends {
		total += one.weight
	}
	if total == 0 {
		return backend{}, false
	}
	n := random(total)
	for _, one := range a.backends {
		if n < one.weight {
			return one, true
		}
		n -= one.weight
	}
	return backend{}, false
}

// escape returns a path as it appears in a URL.
func escape(path string) string { return (&url.URL{Path: path}).EscapedPath() }

// status is that of a request whose backend cannot serve it.
func (b backend) status() int {
	switch {
	case b.problem.exists():
		return http.StatusInternalServerError
	case b.decision.Outcome == route.NoEndpoints:
		return http.StatusServiceUnavailable
	}
	return 0
}
