package route

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/skiff-dev/skiff/internal/names"
)

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

func TestServiceComesAfterExactHostAndBeforeWildcard(t *testing.T) {
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

	// As the conformance tests for ingress controllers do, which delete one namespace and
	// create the next one with a default backend at once.
	old, next := at("old", time.Hour), at("next", time.Minute)
	old.Namespace = "ending"
	old.Spec.Rules, next.Spec.Rules = nil, nil
	old.Spec.DefaultBackend, next.Spec.DefaultBackend = ptr.To(backend("old")), ptr.To(backend("next"))
	ending := &corev1.Namespace{ObjectMeta: object("", "ending")}
	objects := Objects{Classes: []*networkingv1.IngressClass{skiffClass()}, Ingresses: []*networkingv1.Ingress{old, next}, Namespaces: []*corev1.Namespace{ending}}
	for _, want := range []string{"old", "next"} {
		if got := routed(New("dev", objects), Request{Host: "any", Path: "/", Inside: true}); got != want {
			t.Errorf("default backend: %q, want %q", got, want)
		}
		ending.DeletionTimestamp = ptr.To(metav1.NewTime(now))
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

func TestBackendThatIsNotAServiceIsNotForwarded(t *testing.T) {
	p := onPath("/", prefix, "")
	p.Backend = networkingv1.IngressBackend{Resource: &corev1.TypedLocalObjectReference{Kind: "Bucket", Name: "files"}}
	table := New("dev", Objects{Classes: []*networkingv1.IngressClass{skiffClass()}, Ingresses: []*networkingv1.Ingress{ingress("one", hostRule("a.com", p))}})
	if got := table.Resolve(Request{Host: "a.com", Path: "/"}); got.Outcome != NoRule || !got.Resource {
		t.Errorf("%+v", got)
	}
}
