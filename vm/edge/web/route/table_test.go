package route

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/skiff-dev/skiff/internal/names"
)

func object(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name}
}

// serviceObject returns a Service and a slice with one ready endpoint for it.
func serviceObject(namespace, name string, ports ...corev1.ServicePort) (*corev1.Service, *discoveryv1.EndpointSlice) {
	slice := &discoveryv1.EndpointSlice{ObjectMeta: object(namespace, name+"-1"), AddressType: discoveryv1.AddressTypeIPv4}
	slice.Labels = map[string]string{discoveryv1.LabelServiceName: name}
	slice.Endpoints = []discoveryv1.Endpoint{{Addresses: []string{"10.244.1.1"}}}
	for _, p := range ports {
		slice.Ports = append(slice.Ports, discoveryv1.EndpointPort{Name: ptr.To(p.Name), Port: ptr.To(p.Port + 1000)})
	}
	return &corev1.Service{ObjectMeta: object(namespace, name), Spec: corev1.ServiceSpec{Ports: ports}}, slice
}

type objects struct{ Objects }

func (o *objects) service(namespace, name string, ports ...corev1.ServicePort) *objects {
	service, slice := serviceObject(namespace, name, ports...)
	o.Services, o.Slices = append(o.Services, service), append(o.Slices, slice)
	return o
}

func named(name string, number int32) corev1.ServicePort {
	return corev1.ServicePort{Name: name, Port: number, Protocol: corev1.ProtocolTCP}
}

func speaking(appProtocol string, p corev1.ServicePort) corev1.ServicePort {
	p.AppProtocol = &appProtocol
	return p
}

func TestTheBestPortAnswersForAService(t *testing.T) {
	udp := named("dns", 53)
	udp.Protocol = corev1.ProtocolUDP
	for name, tt := range map[string]struct {
		ports    []corev1.ServicePort
		want     int32 // 0 for none
		protocol Protocol
	}{
		"only one":               {[]corev1.ServicePort{named("", 5000)}, 5000, HTTP},
		"only one for TCP":       {[]corev1.ServicePort{udp, named("tcp", 5000)}, 5000, HTTP},
		"80":                     {[]corev1.ServicePort{named("metrics", 9100), named("main", 80)}, 80, HTTP},
		"named http":             {[]corev1.ServicePort{named("main", 80), named("http", 3000)}, 3000, HTTP},
		"named http-web":         {[]corev1.ServicePort{named("https", 443), named("http-web", 3000)}, 3000, HTTP},
		"appProtocol":            {[]corev1.ServicePort{named("http", 80), speaking("http", named("a", 9000))}, 9000, HTTP},
		"another protocol":       {[]corev1.ServicePort{speaking("postgresql", named("a", 80)), named("b", 8080)}, 8080, HTTP},
		"http before grpc":       {[]corev1.ServicePort{speaking("kubernetes.io/h2c", named("grpc", 9000)), named("web", 3000)}, 3000, HTTP},
		"grpc before https":      {[]corev1.ServicePort{named("https", 443), named("grpc", 9000)}, 9000, H2C},
		"8080":                   {[]corev1.ServicePort{named("a", 9100), named("b", 8080)}, 8080, HTTP},
		"https if nothing else":  {[]corev1.ServicePort{named("a", 9100), named("https", 8443)}, 8443, HTTPS},
		"443 is https":           {[]corev1.ServicePort{named("", 443)}, 443, HTTPS},
		"grpc by name":           {[]corev1.ServicePort{named("grpc", 9000)}, 9000, H2C},
		"https by appProtocol":   {[]corev1.ServicePort{speaking("HTTPS", named("a", 80))}, 80, HTTPS},
		"websockets":             {[]corev1.ServicePort{speaking("kubernetes.io/ws", named("https", 80))}, 80, HTTP},
		"several without a sign": {[]corev1.ServicePort{named("a", 1000), named("b", 2000)}, 0, ""},
		"none":                   {nil, 0, ""},
	} {
		table := New("dev", new(objects).service("default", "web", tt.ports...).Objects)
		got := table.Resolve(Request{Host: "web.default.dev.localhost", Path: "/"})
		switch {
		case tt.want == 0 && got.Outcome != NoPort, tt.want != 0 && got.Outcome != Forward:
			t.Errorf("%s: %+v", name, got)
		case tt.want != 0 && (got.Backend.Port != tt.want || got.Backend.Protocol != tt.protocol):
			t.Errorf("%s: port %d with %s", name, got.Backend.Port, got.Backend.Protocol)
		}
	}
}

func TestAPortCanBeChosenByNameOrNumber(t *testing.T) {
	table := New("dev", new(objects).service("default", "db", named("a", 1000), named("b", 2000), named("2000", 3000)).Objects)
	for label, want := range map[string]int32{"a": 1000, "1000": 1000, "b": 2000, "2000": 3000} {
		got := table.Resolve(Request{Host: label + ".db.default.dev.localhost"})
		if got.Outcome != Forward || got.Backend.Port != want {
			t.Errorf("%s: %+v", label, got)
		}
	}
	got := table.Resolve(Request{Host: "c.db.default.dev.localhost"})
	if got.Outcome != NoPort || !slices.Equal(got.Ports, []string{"a", "b", "2000"}) {
		t.Errorf("an unknown port: %+v", got)
	}
}

func TestEndpointsAreReadyOrTheLastToServe(t *testing.T) {
	ready := discoveryv1.EndpointConditions{Ready: ptr.To(true)}
	starting := discoveryv1.EndpointConditions{Ready: ptr.To(false)}
	leaving := discoveryv1.EndpointConditions{Ready: ptr.To(false), Serving: ptr.To(true), Terminating: ptr.To(true)}
	at := func(address string, c discoveryv1.EndpointConditions) discoveryv1.Endpoint {
		return discoveryv1.Endpoint{Addresses: []string{address}, Conditions: c}
	}
	slice := func(endpoints ...discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
		return &discoveryv1.EndpointSlice{
			AddressType: discoveryv1.AddressTypeIPv4, Endpoints: endpoints,
			Ports: []discoveryv1.EndpointPort{{Name: ptr.To("metrics"), Port: ptr.To[int32](9000)}, {Name: ptr.To("http"), Port: ptr.To[int32](8080)}},
		}
	}
	six := slice(at("fd00::1", ready))
	six.AddressType = discoveryv1.AddressTypeIPv6
	for name, tt := range map[string]struct {
		slices []*discoveryv1.EndpointSlice
		want   []string
	}{
		"ready":              {[]*discoveryv1.EndpointSlice{slice(at("10.0.0.2", ready), at("10.0.0.1", ready), at("10.0.0.3", starting))}, []string{"10.0.0.1:8080", "10.0.0.2:8080"}},
		"unknown is ready":   {[]*discoveryv1.EndpointSlice{slice(at("10.0.0.1", discoveryv1.EndpointConditions{}))}, []string{"10.0.0.1:8080"}},
		"of several slices":  {[]*discoveryv1.EndpointSlice{slice(at("10.0.0.1", ready)), slice(at("10.0.0.1", ready), at("10.0.0.2", ready))}, []string{"10.0.0.1:8080", "10.0.0.2:8080"}},
		"leaving":            {[]*discoveryv1.EndpointSlice{slice(at("10.0.0.1", leaving), at("10.0.0.2", starting))}, []string{"10.0.0.1:8080"}},
		"ready over leaving": {[]*discoveryv1.EndpointSlice{slice(at("10.0.0.1", leaving), at("10.0.0.2", ready))}, []string{"10.0.0.2:8080"}},
		"another family":     {[]*discoveryv1.EndpointSlice{six}, nil},
		"none":               {nil, nil},
	} {
		if got := endpoints("http", tt.slices); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestOutcomesOfNames(t *testing.T) {
	o := new(objects).service("default", "web", named("", 80)).service("default", "idle", named("", 80))
	o.Slices = o.Slices[:1]
	outside, _ := serviceObject("default", "outside", named("", 80))
	outside.Spec.Type = corev1.ServiceTypeExternalName
	o.Services = append(o.Services, outside)
	table := New("dev", o.Objects)
	for host, want := range map[string]Outcome{
		"web.default.dev.localhost":     Forward,
		"idle.default.dev.localhost":    NoEndpoints,
		"outside.default.dev.localhost": External,
		"wep.default.dev.localhost":     NoService,
		"web.other.dev.localhost":       NoService,
		"default.dev.localhost":         NoRule,
		"dev.localhost":                 Overview,
		"a.b.c.d.dev.localhost":         NoRule,
		"web.default.ci.localhost":      NoRule,
		"example.com":                   NoRule,
		"":                              NoRule,
	} {
		if got := table.Resolve(Request{Host: host, Path: "/"}); got.Outcome != want {
			t.Errorf("%q: got %+v, want %s", host, got, want)
		}
	}
	if got, want := table.Names(), []string{"idle.default.dev.localhost", "web.default.dev.localhost"}; !slices.Equal(got, want) {
		t.Errorf("names %v", got)
	}
}

func TestServicesHaveNoNamesInside(t *testing.T) {
	table := New("dev", new(objects).service("default", "web", named("", 80)).Objects)
	for _, host := range []string{"web.default.dev.localhost", "dev.localhost"} {
		if got := table.Resolve(Request{Host: host, Path: "/", Inside: true}); got.Outcome != NoRule {
			t.Errorf("%s: %+v", host, got)
		}
	}
}

func onPath(p string, kind networkingv1.PathType, service string) networkingv1.HTTPIngressPath {
	return networkingv1.HTTPIngressPath{Path: p, PathType: &kind, Backend: backend(service)}
}

func backend(service string) networkingv1.IngressBackend {
	return networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: service, Port: networkingv1.ServiceBackendPort{Number: 80}}}
}

func hostRule(host string, paths ...networkingv1.HTTPIngressPath) networkingv1.IngressRule {
	r := networkingv1.IngressRule{Host: host}
	if len(paths) > 0 {
		r.HTTP = &networkingv1.HTTPIngressRuleValue{Paths: paths}
	}
	return r
}

func ingress(name string, rules ...networkingv1.IngressRule) *networkingv1.Ingress {
	return &networkingv1.Ingress{ObjectMeta: object("default", name), Spec: networkingv1.IngressSpec{IngressClassName: ptr.To(names.IngressClass), Rules: rules}}
}

func skiffClass() *networkingv1.IngressClass {
	return &networkingv1.IngressClass{ObjectMeta: object("", names.IngressClass), Spec: networkingv1.IngressClassSpec{Controller: names.IngressController}}
}

// routed returns the Service that answers, "" if none does.
func routed(table *Table, r Request) string {
	d := table.Resolve(r)
	if d.Outcome == NoRule || d.Outcome == Overview {
		return ""
	}
	return d.Backend.Service.Name
}

const (
	exact  = networkingv1.PathTypeExact
	prefix = networkingv1.PathTypePrefix
	custom = networkingv1.PathTypeImplementationSpecific
)

// TestPathsMatchAsKubernetesSpecifies is the table of
// https://kubernetes.io/docs/concepts/services-networking/ingress/#examples, and what
// the conformance tests for ingress controllers add to it.
func TestPathsMatchAsKubernetesSpecifies(t *testing.T) {
	p, e, c := prefix, exact, custom
	type paths = []networkingv1.HTTPIngressPath
	for _, tt := range []struct {
		paths     paths
		requested string
		want      string
	}{
		{paths{onPath("/", p, "a")}, "/any/path", "a"},
		{paths{onPath("/", p, "a")}, "", "a"},
		{paths{onPath("/foo", e, "a")}, "/foo", "a"},
		{paths{onPath("/foo", e, "a")}, "/bar", ""},
		{paths{onPath("/foo", e, "a")}, "/foo/", ""},
		{paths{onPath("/foo", e, "a")}, "/FOO", ""},
		{paths{onPath("/foo/", e, "a")}, "/foo", ""},
		{paths{onPath("/foo/", e, "a")}, "/foo/", "a"},
		{paths{onPath("/foo", p, "a")}, "/foo", "a"},
		{paths{onPath("/foo", p, "a")}, "/foo/", "a"},
		{paths{onPath("/foo", p, "a")}, "/FOO", ""},
		{paths{onPath("/foo/", p, "a")}, "/foo", "a"},
		{paths{onPath("/foo/", p, "a")}, "/foo/", "a"},
		{paths{onPath("/aaa/bb", p, "a")}, "/aaa/bbb", ""},
		{paths{onPath("/aaa/bbb", p, "a")}, "/aaa/bbb", "a"},
		{paths{onPath("/aaa/bbb/", p, "a")}, "/aaa/bbb", "a"},
		{paths{onPath("/aaa/bbb", p, "a")}, "/aaa/bbb/", "a"},
		{paths{onPath("/aaa/bbb", p, "a")}, "/aaa/bbb/ccc", "a"},
		{paths{onPath("/aaa/bbb", p, "a")}, "/aaa/bbbxyz", ""},
		{paths{onPath("/", p, "a"), onPath("/aaa", p, "b")}, "/aaa/ccc", "b"},
		{paths{onPath("/", p, "a"), onPath("/aaa", p, "b")}, "/aaaccc", "a"},
		{paths{onPath("/aaa", p, "a"), onPath("/aaa/bbb", p, "b"), onPath("/", p, "c")}, "/aaa/bbb", "b"},
		{paths{onPath("/aaa", p, "a"), onPath("/aaa/bbb", p, "b"), onPath("/", p, "c")}, "/ccc", "c"},
		{paths{onPath("/aaa", p, "a")}, "/ccc", ""},
		{paths{onPath("/foo", p, "a"), onPath("/foo", e, "b")}, "/foo", "b"},
		{paths{onPath("/foo", e, "b"), onPath("/foo", p, "a")}, "/foo", "b"},
		{paths{onPath("/foo/", p, "a"), onPath("/foo", e, "b")}, "/foo", "b"},
		{paths{onPath("/foo", e, "b"), onPath("/foo", p, "a")}, "/foo/bar", "a"},
		{paths{onPath("/foo", c, "a")}, "/foo/bar", "a"},
		{paths{onPath("", c, "a")}, "/bar", "a"},
		{paths{onPath("/foo", p, "a"), onPath("/foo", p, "b")}, "/foo", "a"},
		// What the backend understands counts.
		{paths{onPath("/public", p, "a"), onPath("/admin", p, "b")}, "/public/../admin", "b"},
		{paths{onPath("/public", p, "a")}, "/public/..", ""},
		{paths{onPath("/foo", e, "a")}, "/./foo", "a"},
		{paths{onPath("/foo/", e, "a")}, "/x/../foo/", "a"},
	} {
		table := New("dev", Objects{Ingresses: []*networkingv1.Ingress{ingress("one", hostRule("foo.bar.com", tt.paths...))}, Classes: []*networkingv1.IngressClass{skiffClass()}})
		if got := routed(table, Request{Host: "foo.bar.com", Path: tt.requested}); got != tt.want {
			t.Errorf("%s of %+v: got %q, want %q", tt.requested, tt.paths, got, tt.want)
		}
	}
}

func TestHostsMatchAsKubernetesSpecifies(t *testing.T) {
	root := func(service string) networkingv1.HTTPIngressPath { return onPath("/", prefix, service) }
	table := New("dev", Objects{Classes: []*networkingv1.IngressClass{skiffClass()}, Ingresses: []*networkingv1.Ingress{
		ingress("hosts", hostRule("*.foo.com", root("wildcard")), hostRule("foo.bar.com", root("exact")), hostRule("x.foo.com", onPath("/x", prefix, "x"))),
	}})
	for host, want := range map[string]string{
		"foo.bar.com":       "exact",
		"subdomain.bar.com": "",
		"bar.foo.com":       "wildcard",
		"baz.bar.foo.com":   "",
		"foo.com":           "",
		"x.foo.com":         "wildcard", // "/" matches no path of the exact host
	} {
		for _, inside := range []bool{false, true} {
			if got := routed(table, Request{Host: host, Path: "/", Inside: inside}); got != want {
				t.Errorf("%s: got %q, want %q", host, got, want)
			}
		}
	}
	if got := routed(table, Request{Host: "x.foo.com", Path: "/x"}); got != "x" {
		t.Errorf("an exact host is not preferred: %q", got)
	}
	if got, want := table.Hosts(), []string{"*.foo.com", "foo.bar.com", "x.foo.com"}; !slices.Equal(got, want) {
		t.Errorf("hosts %v", got)
	}
}

// TestOnlyTheClustersOwnAddressServesAnyHost: on the host's loopback a web site could
// choose the host.
func TestOnlyTheClustersOwnAddressServesAnyHost(t *testing.T) {
	everything := ingress("everything")
	everything.Spec.DefaultBackend = ptr.To(backend("fallback"))
	noHost := ingress("no-host", hostRule("", onPath("/app", prefix, "app")))
	withHost := ingress("with-host", hostRule("foo.com", onPath("/foo", prefix, "foo")), hostRule("bare.com"))
	withHost.Spec.DefaultBackend = ptr.To(backend("foos"))
	table := New("dev", Objects{
		Classes:   []*networkingv1.IngressClass{skiffClass()},
		Ingresses: []*networkingv1.Ingress{everything, noHost, withHost},
	})
	for _, tt := range []struct {
		host, path      string
		loopback, there string
	}{
		{"foo.com", "/foo", "foo", "foo"},
		{"foo.com", "/bar", "foos", "foos"}, // the same Ingress has a rule for the host
		{"foo.com", "/app", "app", "app"},
		{"bare.com", "/", "foos", "foos"},
		{"dev.localhost", "/", "fallback", "fallback"},
		{"dev.localhost", "/app/x", "app", "app"},
		{"evil.com", "/", "", "fallback"},
		{"evil.com", "/app", "", "app"},
		{"", "/app", "", "app"},
		{"ci.localhost", "/app", "", "app"},
	} {
		if got := routed(table, Request{Host: tt.host, Path: tt.path}); got != tt.loopback {
			t.Errorf("%s%s on the loopback: got %q, want %q", tt.host, tt.path, got, tt.loopback)
		}
		if got := routed(table, Request{Host: tt.host, Path: tt.path, Inside: true}); got != tt.there {
			t.Errorf("%s%s inside: got %q, want %q", tt.host, tt.path, got, tt.there)
		}
	}
}

func TestAServiceComesAfterAnExactHostAndBeforeAWildcard(t *testing.T) {
	o := new(objects).service("default", "web", named("", 80)).service("default", "api", named("", 80)).service("default", "other", named("", 80))
	o.Classes = []*networkingv1.IngressClass{skiffClass()}
	o.Ingresses = []*networkingv1.Ingress{ingress("one",
		hostRule("web.default.dev.localhost", onPath("/", prefix, "other")), hostRule("*.default.dev.localhost", onPath("/", prefix, "other")))}
	table := New("dev", o.Objects)
	for host, want := range map[string]string{
		"web.default.dev.localhost": "other", "api.default.dev.localhost": "api", "nothing.default.dev.localhost": "other",
	} {
		if got := routed(table, Request{Host: host, Path: "/"}); got != want {
			t.Errorf("%s: got %q, want %q", host, got, want)
		}
	}
}

func TestOnlyIngressesOfTheClassAreRouted(t *testing.T) {
	of := func(name string, change func(*networkingv1.Ingress)) *networkingv1.Ingress {
		i := ingress(name, hostRule(name+".com", onPath("/", prefix, "a")))
		change(i)
		return i
	}
	annotated := func(class string) func(*networkingv1.Ingress) {
		return func(i *networkingv1.Ingress) {
			i.Spec.IngressClassName, i.Annotations = nil, map[string]string{"kubernetes.io/ingress.class": class}
		}
	}
	alias := &networkingv1.IngressClass{ObjectMeta: object("", "nginx"), Spec: networkingv1.IngressClassSpec{Controller: names.IngressController}}
	foreign := &networkingv1.IngressClass{ObjectMeta: object("", "traefik"), Spec: networkingv1.IngressClassSpec{Controller: "traefik.io/ingress-controller"}}
	table := New("dev", Objects{
		Classes: []*networkingv1.IngressClass{skiffClass(), alias, foreign},
		Ingresses: []*networkingv1.Ingress{
			of("ours", func(*networkingv1.Ingress) {}),
			of("alias", func(i *networkingv1.Ingress) { i.Spec.IngressClassName = ptr.To("nginx") }),
			of("annotated", annotated("skiff")),
			of("foreign", func(i *networkingv1.Ingress) { i.Spec.IngressClassName = ptr.To("traefik") }),
			of("foreign-annotation", annotated("traefik")),
			of("unknown", func(i *networkingv1.Ingress) { i.Spec.IngressClassName = ptr.To("some-invalid-class-name") }),
			of("none", func(i *networkingv1.Ingress) { i.Spec.IngressClassName = nil }),
		},
	})
	var got []string
	for _, i := range table.Ingresses() {
		got = append(got, i.Name)
	}
	if want := []string{"alias", "annotated", "ours"}; !slices.Equal(got, want) {
		t.Errorf("routed %v", got)
	}
}

func TestTheOlderIngressWins(t *testing.T) {
	now := time.Now()
	at := func(name string, age time.Duration) *networkingv1.Ingress {
		i := ingress(name, hostRule("foo.com", onPath("/", prefix, name)))
		i.Spec.TLS = []networkingv1.IngressTLS{{Hosts: []string{"foo.com"}, SecretName: name}}
		i.CreationTimestamp = metav1.NewTime(now.Add(-age))
		return i
	}
	table := New("dev", Objects{Classes: []*networkingv1.IngressClass{skiffClass()}, Ingresses: []*networkingv1.Ingress{at("a", time.Hour), at("b", 2*time.Hour)}})
	if got := routed(table, Request{Host: "foo.com", Path: "/"}); got != "b" {
		t.Errorf("routed to %q", got)
	}
	if got, ok := table.Secret("foo.com"); !ok || got.Name != "b" {
		t.Errorf("secret %v, %v", got, ok)
	}
}

func TestSecretsAreFoundByHost(t *testing.T) {
	one := ingress("one", hostRule("a.com", onPath("/", prefix, "a")), hostRule("*.b.com", onPath("/", prefix, "b")))
	one.Spec.TLS = []networkingv1.IngressTLS{
		{Hosts: []string{"*.com"}, SecretName: "wildcard"}, {Hosts: []string{"A.com"}, SecretName: "exact"}, {SecretName: "all"}, {Hosts: []string{"x.com"}},
	}
	table := New("dev", Objects{Classes: []*networkingv1.IngressClass{skiffClass()}, Ingresses: []*networkingv1.Ingress{one}})
	for host, want := range map[string]string{"a.com": "exact", "c.com": "wildcard", "x.b.com": "all", "x.y.b.com": "", "": "", "a.org": ""} {
		got, ok := table.Secret(host)
		if got.Name != want || ok != (want != "") {
			t.Errorf("%s: %v", host, got)
		}
	}
	want := []types.NamespacedName{{Namespace: "default", Name: "all"}, {Namespace: "default", Name: "exact"}, {Namespace: "default", Name: "wildcard"}}
	if got := table.Secrets(); !slices.Equal(got, want) {
		t.Errorf("secrets %v", got)
	}
}

func TestABackendThatIsNotAServiceIsNotForwarded(t *testing.T) {
	p := onPath("/", prefix, "")
	p.Backend = networkingv1.IngressBackend{Resource: &corev1.TypedLocalObjectReference{Kind: "Bucket", Name: "files"}}
	table := New("dev", Objects{Classes: []*networkingv1.IngressClass{skiffClass()}, Ingresses: []*networkingv1.Ingress{ingress("one", hostRule("a.com", p))}})
	if got := table.Resolve(Request{Host: "a.com", Path: "/"}); got.Outcome != NoRule || !got.Resource {
		t.Errorf("%+v", got)
	}
}
