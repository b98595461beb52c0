package route

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Objects are what a Table is made from. They are only read.
type Objects struct {
	Services  []*corev1.Service
	Slices    []*discoveryv1.EndpointSlice
	Ingresses []*networkingv1.Ingress
	Classes   []*networkingv1.IngressClass
	// Namespaces show which Ingresses are about to be deleted.
	Namespaces []*corev1.Namespace
}

// Table holds the routes of one cluster. It does not change.
type Table struct {
	cluster      string
	services     map[types.NamespacedName]service
	rules        map[string][]rule // by host, which may be a wildcard or ""
	fallbacks    []fallback
	certificates []certificate
	ingresses    []*networkingv1.Ingress
}

// New returns the table of a cluster.
func New(cluster string, o Objects) *Table {
	t := &Table{cluster: cluster, services: map[types.NamespacedName]service{}, rules: map[string][]rule{}}
	endpointSlices := map[types.NamespacedName][]*discoveryv1.EndpointSlice{}
	for _, s := range o.Slices {
		name := types.NamespacedName{Namespace: s.Namespace, Name: s.Labels[discoveryv1.LabelServiceName]}
		endpointSlices[name] = append(endpointSlices[name], s)
	}
	for _, s := range o.Services {
		name := types.NamespacedName{Namespace: s.Namespace, Name: s.Name}
		t.services[name] = newService(s, endpointSlices[name])
	}
	t.ingresses = ownIngresses(o.Ingresses, o.Classes, o.Namespaces)
	for _, i := range t.ingresses {
		t.add(i)
	}
	return t
}

// Request is what a route depends on.
type Request struct {
	// Host as the function Host returns it.
	Host string
	// Path of the URL, decoded.
	Path string
	// Inside means that a machine sent the request to the cluster's own address. There,
	// rules without a host match every host, and names of Services match nothing: they
	// would be a way around network policies. On the host's loopback, rules without a host
	// match CLUSTER.localhost only: a web site whose name resolves to 127.0.0.1 must not
	// reach a cluster.
	Inside bool
}

// Outcome is the kind of a Decision.
type Outcome string

// The outcomes.
const (
	Forward     Outcome = "forward"      // send it to Backend
	NoEndpoints Outcome = "no-endpoints" // Backend has none
	NoService   Outcome = "no-service"   // there is no Service of that name
	NoPort      Outcome = "no-port"      // the Service has no such port, or several without a best one
	External    Outcome = "external"     // the Service only names another host
	NoRule      Outcome = "no-rule"      // no rule of an Ingress matches
	Overview    Outcome = "overview"     // the host names the cluster
)

// Decision is what to do with a request.
type Decision struct {
	Outcome Outcome
	// Backend is set for Forward and NoEndpoints; its Service also for NoService,
	// NoPort and External.
	Backend Backend
	// Port is the port that was asked for, "" if none was.
	Port string
	// Ports are the names or numbers of the Service's ports, for NoPort.
	Ports []string
	// Resource is true if an Ingress names a backend that is not a Service.
	Resource bool
}

// Resolve routes a request. The host of an Ingress comes before a Service's name,
// and that before a wildcard.
func (t *Table) Resolve(r Request) Decision {
	if rule, ok := match(t.rules[r.Host], r.Path); ok && r.Host != "" {
		return t.refer(rule.to)
	}
	name, below := Parse(r.Host)
	own := !r.Inside && ClusterOf(r.Host) == t.cluster
	if own && below && name.Service != "" {
		if _, exists := t.services[types.NamespacedName{Namespace: name.Namespace, Name: name.Service}]; exists {
			return t.find(name.Namespace, name.Service, name.Port)
		}
	}
	if rule, ok := match(t.rules[wildcard(r.Host)], r.Path); ok && wildcard(r.Host) != "" {
		return t.refer(rule.to)
	}
	if to, ok := t.otherwise(r); ok {
		return t.refer(to)
	}
	switch {
	case own && name.Service != "":
		return t.find(name.Namespace, name.Service, name.Port)
	case own && below && name.Namespace == "":
		return Decision{Outcome: Overview}
	}
	return Decision{Outcome: NoRule}
}

// otherwise returns the backend of a request that no rule for its host matches: by a
// rule without a host, or a default backend, first one of an Ingress with a rule for
// the host.
func (t *Table) otherwise(r Request) (reference, bool) {
	_, exact := t.rules[r.Host]
	_, covered := t.rules[wildcard(r.Host)]
	known := r.Host != "" && exact || wildcard(r.Host) != "" && covered
	if !r.Inside && !known && r.Host != t.cluster+"."+Domain {
		return reference{}, false
	}
	if rule, ok := match(t.rules[""], r.Path); ok {
		return rule.to, true
	}
	if known {
		for _, f := range t.fallbacks {
			if slices.ContainsFunc(f.hosts, func(host string) bool { return covers(host, r.Host) }) {
				return f.to, true
			}
		}
	}
	if len(t.fallbacks) > 0 {
		return t.fallbacks[0].to, true
	}
	return reference{}, false
}

// HasHost reports whether an Ingress has a rule for exactly this host.
func (t *Table) HasHost(host string) bool {
	_, ok := t.rules[host]
	return ok && host != ""
}

// Backend returns the decision for a port of a Service.
func (t *Table) Backend(service types.NamespacedName, port int32) Decision {
	return t.find(service.Namespace, service.Name, strconv.Itoa(int(port)))
}

func (t *Table) refer(to reference) Decision {
	if to.resource {
		return Decision{Outcome: NoRule, Resource: true}
	}
	return t.find(to.service.Namespace, to.service.Name, to.port)
}

// find returns the decision for a port of a Service, the best one if portName is
// empty.
func (t *Table) find(namespace, name, portName string) Decision {
	d := Decision{Backend: Backend{Service: types.NamespacedName{Namespace: namespace, Name: name}}, Port: portName}
	s, exists := t.services[d.Backend.Service]
	switch {
	case !exists:
		d.Outcome = NoService
		return d
	case s.external:
		d.Outcome = External
		return d
	}
	find := s.choose
	if portName != "" {
		find = func() (port, bool) { return s.find(portName) }
	}
	p, ok := find()
	if !ok {
		d.Outcome = NoPort
		for _, p := range s.ports {
			d.Ports = append(d.Ports, p.label())
		}
		return d
	}
	d.Outcome, d.Backend = Forward, p.backend
	if len(d.Backend.Endpoints) == 0 {
		d.Outcome = NoEndpoints
	}
	return d
}

// Hosts returns the hosts of Ingress rules, wildcards included, sorted. Hosts below
// CLUSTER.localhost of any cluster belong to that cluster, whatever this returns.
func (t *Table) Hosts() []string {
	hosts := slices.Sorted(maps.Keys(t.rules))
	return slices.DeleteFunc(hosts, func(host string) bool { return host == "" })
}

// Names returns the names of all Services that have a TCP port, sorted.
func (t *Table) Names() []string {
	var all []string
	for name, s := range t.services {
		if !s.external && len(s.ports) > 0 {
			all = append(all, Name{Service: name.Name, Namespace: name.Namespace, Cluster: t.cluster}.String())
		}
	}
	slices.SortFunc(all, func(a, b string) int {
		// By namespace, then by name.
		return cmp.Or(cmp.Compare(after(a), after(b)), cmp.Compare(a, b))
	})
	return all
}

func after(name string) string {
	_, rest, _ := strings.Cut(name, ".")
	return rest
}

// Secret returns the secret that holds the certificate of a host: that of the exact
// host before that of a wildcard.
func (t *Table) Secret(host string) (types.NamespacedName, bool) {
	for _, wanted := range []string{host, wildcard(host)} {
		if wanted == "" {
			continue
		}
		for _, c := range t.certificates {
			if c.host == wanted || slices.Contains(c.hosts, wanted) {
				return c.secret, true
			}
		}
	}
	return types.NamespacedName{}, false
}

// Secrets returns all secrets that Ingresses name, sorted.
func (t *Table) Secrets() []types.NamespacedName {
	found := map[types.NamespacedName]bool{}
	for _, c := range t.certificates {
		found[c.secret] = true
	}
	return slices.SortedFunc(maps.Keys(found), func(a, b types.NamespacedName) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
}

// Ingresses returns the Ingresses that the table routes, oldest first.
func (t *Table) Ingresses() []*networkingv1.Ingress { return t.ingresses }
