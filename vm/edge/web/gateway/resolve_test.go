package gateway

import (
	"fmt"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/vm/edge/web/route"
)

func header(name, value string) func(*Request) {
	return func(r *Request) { r.Header.Set(name, value) }
}

func TestTheMostSpecificRuleAnswers(t *testing.T) {
	r := newRig()
	r.gateway(t, "web", plain)
	r.http(t, "one", `
parentRefs: [{name: web}]
hostnames: [shop.test, "*.shop.test"]
rules:
- {matches: [{path: {type: PathPrefix, value: /}}], backendRefs: [{name: a, port: 80}]}
- {matches: [{path: {type: PathPrefix, value: /v2}}], backendRefs: [{name: b, port: 80}]}
- {matches: [{path: {type: Exact, value: /v2/gone}}], backendRefs: [{name: nothing, port: 80}]}
- {matches: [{path: {type: PathPrefix, value: /v2}, headers: [{name: X-Idle, value: "yes"}]}], backendRefs: [{name: idle, port: 80}]}
- {matches: [{path: {type: PathPrefix, value: /v2}, method: POST}], backendRefs: [{name: a, port: 80}]}
- {matches: [{path: {type: PathPrefix, value: /q}, queryParams: [{name: to, value: b}]}], backendRefs: [{name: b, port: 80}]}
- {matches: [{path: {type: RegularExpression, value: "/r/[0-9]+"}}], backendRefs: [{name: b, port: 80}]}
`)
	table := r.table()
	for _, tt := range []struct {
		name   string
		ask    Request
		status int
		to     string
	}{
		{"prefix of all", get("shop.test", "/x"), 0, "a"},
		{"longer prefix", get("shop.test", "/v2/x"), 0, "b"},
		{"a prefix is of whole segments", get("shop.test", "/v22"), 0, "a"},
		{"exact, missing Service", get("shop.test", "/v2/gone"), 500, ""},
		{"header, no endpoints", get("shop.test", "/v2", header("X-Idle", "yes")), 503, ""},
		{"method", get("shop.test", "/v2", func(r *Request) { r.Method = http.MethodPost }), 0, "a"},
		{"query", get("shop.test", "/q", func(r *Request) { r.RawQuery = "to=b&x=1" }), 0, "b"},
		{"other query", get("shop.test", "/q", func(r *Request) { r.RawQuery = "to=a" }), 0, "a"},
		{"regular expression", get("shop.test", "/r/12"), 0, "b"},
		{"regular expression of all", get("shop.test", "/r/12/x"), 0, "a"},
		{"wildcard of several labels", get("x.y.shop.test", "/"), 0, "a"},
		{"other host", get("test", "/"), 404, ""},
		{"dot segments", get("shop.test", "/v2/../x"), 0, "a"},
		{"other port", get("shop.test", "/", func(r *Request) { r.Port = 81 }), 404, ""},
	} {
		got := table.Resolve(tt.ask, first)
		if got.Status != tt.status || got.Backend.Service.Name != tt.to {
			t.Errorf("%s: status %d, to %q", tt.name, got.Status, got.Backend.Service.Name)
		}
	}
}

func TestWeightsShareRequests(t *testing.T) {
	r := newRig()
	r.gateway(t, "web", plain)
	r.http(t, "one", `
parentRefs: [{name: web}]
rules:
- backendRefs: [{name: a, port: 80, weight: 3}, {name: b, port: 80, weight: 0}, {name: missing, port: 80, weight: 1}]
`)
	table := r.table()
	got := map[string]int{}
	for n := range 4 {
		action := table.Resolve(get("x.test", "/"), func(total int) int {
			if total != 4 {
				t.Errorf("random number below %d", total)
			}
			return n
		})
		got[fmt.Sprint(action.Status, action.Backend.Service.Name)]++
	}
	if got["0a"] != 3 || got["500"] != 1 {
		t.Errorf("%v", got)
	}
}

func TestFiltersChangeARequest(t *testing.T) {
	r := newRig()
	r.gateway(t, "web", plain)
	r.http(t, "one", `
parentRefs: [{name: web}]
rules:
- matches: [{path: {value: /old}}]
  filters:
  - {type: URLRewrite, urlRewrite: {hostname: inner.test, path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}}}
  - {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: X-Set, value: "1"}], remove: [X-Gone]}}
  - {type: RequestMirror, requestMirror: {backendRef: {name: b, port: 80}}}
  timeouts: {request: 2s, backendRequest: 500ms}
  backendRefs: [{name: a, port: 80, filters: [{type: RequestHeaderModifier, requestHeaderModifier: {add: [{name: X-Set, value: "2"}]}}]}]
`)
	got := r.table().Resolve(get("x.test", "/old/x"), first)
	if got.Path != "/new/x" || got.Host != "inner.test" || got.Timeout != 500*time.Millisecond {
		t.Errorf("%+v", got)
	}
	if len(got.Mirrors) != 1 || got.Mirrors[0].Backend.Service.Name != "b" {
		t.Errorf("mirrors %+v", got.Mirrors)
	}
	header := http.Header{"X-Gone": {"x"}}
	for _, change := range got.Request {
		change.Apply(header)
	}
	if fmt.Sprint(header) != "map[X-Set:[1 2]]" {
		t.Errorf("%v", header)
	}
}

func TestRedirects(t *testing.T) {
	for _, tt := range []struct {
		filter, want string
		change       func(*Request)
	}{
		{`{hostname: other.test}`, "http://other.test/old/x", nil},
		{`{path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}}`, "http://shop.test/new/x", nil},
		{`{path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}`, "http://shop.test/x", nil},
		{`{path: {type: ReplaceFullPath, replaceFullPath: /all}}`, "http://shop.test/all?q=1", func(r *Request) { r.RawQuery = "q=1" }},
		{`{scheme: https}`, "https://shop.test/old/x", nil},
		{`{scheme: https, port: 8443}`, "https://shop.test:8443/old/x", nil},
		{`{port: 8080}`, "http://shop.test:8080/old/x", nil},
		{`{scheme: https}`, "https://shop.test:7443/old/x", func(r *Request) { r.Entry, r.Port, r.OtherPort = true, 7080, 7443 }},
		{`{scheme: https}`, "https://10.0.0.1/old/x", func(r *Request) { r.Host, r.Address = "", netip.MustParseAddr("10.0.0.1") }},
		{`{scheme: https}`, "https://[fd00::1]/old/x", func(r *Request) { r.Host, r.Address = "", netip.MustParseAddr("fd00::1") }},
		{`{port: 8080}`, "http://[fd00::1]:8080/old/x", func(r *Request) { r.Host, r.Address = "", netip.MustParseAddr("fd00::1") }},
		{`{hostname: other.test}`, "http://other.test/old/x", func(r *Request) { r.Host, r.Address = "", netip.MustParseAddr("fd00::1") }},
		{`{hostname: other.test}`, "http://other.test:7080/old/x", func(r *Request) { r.Entry, r.Port, r.OtherPort = true, 7080, 7443 }},
	} {
		r := newRig()
		r.gateway(t, "web", plain)
		r.http(t, "one", `{parentRefs: [{name: web}], rules: [{matches: [{path: {value: /old}}], filters: [{type: RequestRedirect, requestRedirect: `+tt.filter+`}]}]}`)
		ask := get("shop.test", "/old/x")
		if tt.change != nil {
			tt.change(&ask)
		}
		if got := r.table().Resolve(ask, first); got.Location != tt.want || got.Status != http.StatusFound {
			t.Errorf("%s: %d %q, want %q", tt.filter, got.Status, got.Location, tt.want)
		}
	}
}

func TestAPathCannotRedirectToAnotherHost(t *testing.T) {
	r := newRig()
	r.gateway(t, "web", plain)
	r.http(t, "one", `{parentRefs: [{name: web}], rules: [{matches: [{path: {value: /old}}], filters: [{type: RequestRedirect, requestRedirect: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}]}]}`)
	got := r.table().Resolve(get("shop.test", "/old//evil.test/x"), first)
	if want := "http://shop.test/evil.test/x"; got.Location != want {
		t.Errorf("%q, want %q", got.Location, want)
	}
}

func TestOtherOriginsAreAllowedByName(t *testing.T) {
	r := newRig()
	r.gateway(t, "web", plain)
	r.http(t, "one", `
parentRefs: [{name: web}]
rules:
- filters: [{type: CORS, cors: {allowOrigins: ["https://www.test", "https://*.shop.test"], allowMethods: [GET, PUT], allowCredentials: true, maxAge: 60}}]
  backendRefs: [{name: a, port: 80}]
`)
	for origin, want := range map[string]string{
		"https://www.test": "https://www.test", "https://a.shop.test": "https://a.shop.test",
		"http://www.test": "", "https://shop.test": "", "https://evil.test": "",
	} {
		got := r.table().Resolve(get("x.test", "/", header("Origin", origin), header("Access-Control-Request-Method", "PUT"),
			func(r *Request) { r.Method = http.MethodOptions }), first)
		if got.Status != http.StatusNoContent || got.CORS.Headers.Get("Access-Control-Allow-Origin") != want {
			t.Errorf("%s: %+v", origin, got.CORS)
		}
	}
}

func TestAGRPCRouteMatchesServiceAndMethod(t *testing.T) {
	r := newRig()
	r.gateway(t, "web", plain)
	r.grpc(t, "calls", `
parentRefs: [{name: web}]
rules:
- {matches: [{method: {service: shop.Cart, method: Add}}], backendRefs: [{name: a, port: 80}]}
- {matches: [{method: {service: shop.Cart}}], backendRefs: [{name: b, port: 80}]}
- {matches: [{method: {method: Ping}}], backendRefs: [{name: b, port: 80}]}
`)
	call := func(r *Request) { r.GRPC, r.Method = true, http.MethodPost }
	for path, want := range map[string]string{"/shop.Cart/Add": "a", "/shop.Cart/List": "b", "/shop.CartX/List": "", "/any/Ping": "b"} {
		got := r.table().Resolve(get("x.test", path, call), first)
		if got.Backend.Service.Name != want {
			t.Errorf("%s: %+v", path, got)
		}
	}
	if got := r.table().Resolve(get("x.test", "/shop.Cart/Add"), first); got.Status != http.StatusNotFound {
		t.Errorf("a request that is no call: %+v", got)
	}
}

func TestAConnectionForOneHostIsNotUsedForAnother(t *testing.T) {
	r := newRig()
	r.gateway(t, "web", `
- {name: one, port: 443, protocol: HTTPS, hostname: one.test, tls: {certificateRefs: [{name: cert}]}}
- {name: two, port: 443, protocol: HTTPS, hostname: two.test, tls: {certificateRefs: [{name: cert}]}}
`)
	r.http(t, "both", `{parentRefs: [{name: web}], rules: [{backendRefs: [{name: a, port: 80}]}]}`)
	for host, want := range map[string]int{"one.test": 0, "two.test": http.StatusMisdirectedRequest} {
		got := r.table().Resolve(get(host, "/", func(r *Request) { r.TLS, r.Port, r.ServerName = true, 443, "one.test" }), first)
		if got.Status != want {
			t.Errorf("%s: %+v", host, got)
		}
	}
}

func TestTheWebEntryServesAllGatewaysByHost(t *testing.T) {
	r := newRig()
	r.gateway(t, "web", `[{name: http, port: 8080, protocol: HTTP, hostname: "*.shop.test"}]`)
	r.gateway(t, "more", plain)
	r.http(t, "wide", `{parentRefs: [{name: web}], rules: [{backendRefs: [{name: a, port: 80}]}]}`)
	r.http(t, "narrow", `{parentRefs: [{name: more}], hostnames: [x.shop.test], rules: [{backendRefs: [{name: b, port: 80}]}]}`)
	table := r.table()
	for host, want := range map[string]string{"x.shop.test": "b", "y.shop.test": "a"} {
		if got := table.Resolve(get(host, "/", func(r *Request) { r.Entry = true }), first); got.Backend.Service.Name != want {
			t.Errorf("%s: %+v", host, got)
		}
	}
	for host, want := range map[string][2]bool{"x.shop.test": {true, true}, "y.shop.test": {false, true}, "shop.test": {}, "": {}} {
		if exact, covered := table.Claims(host); [2]bool{exact, covered} != want {
			t.Errorf("%q: %v, %v", host, exact, covered)
		}
	}
	if got := fmt.Sprint(table.Hosts()); got != "[*.shop.test x.shop.test]" {
		t.Error(got)
	}
}

func TestTLSRoutesGetConnections(t *testing.T) {
	r := newRig()
	g := r.gateway(t, "web", `
- {name: through, port: 443, protocol: TLS, hostname: "*.test", tls: {mode: Passthrough}}
- {name: ends, port: 443, protocol: TLS, hostname: end.test, tls: {certificateRefs: [{name: cert}]}}
- {name: web, port: 443, protocol: HTTPS, hostname: web.test, tls: {certificateRefs: [{name: cert}]}}
`)
	r.tls(t, "streams", `{parentRefs: [{name: web}], hostnames: [a.test, end.test], rules: [{backendRefs: [{name: a, port: 80}]}]}`)
	table := r.table()
	for name, want := range map[string]string{"a.test": "a false false", "end.test": "a true false", "web.test": " true true", "b.test": "none"} {
		s, ok := table.ResolveStream(nameOf(g), 443, name, first)
		got := fmt.Sprint(s.Backend.Service.Name, " ", s.Terminate, " ", s.HTTP)
		if !ok {
			got = "none"
		}
		if got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if !table.HasStreams(nameOf(g), 443) {
		t.Error("the port has no streams")
	}
}

func TestARequestWithoutEndpointsOfAKnownServiceIs503(t *testing.T) {
	r := newRig()
	r.gateway(t, "web", plain)
	r.http(t, "one", `{parentRefs: [{name: web}], rules: [{backendRefs: [{name: idle, port: 80}]}]}`)
	if got := r.table().Resolve(get("x.test", "/"), first); got.Status != http.StatusServiceUnavailable || got.Backend.Protocol != route.Protocol("") {
		t.Errorf("%+v", got)
	}
}
