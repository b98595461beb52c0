package gateway

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"k8s.io/utils/ptr"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/skiff-dev/skiff/vm/edge/web/route"
)

// HeaderChange changes headers: it sets, then adds, then removes.
type HeaderChange struct {
	Set, Add []gatewayv1.HTTPHeader
	Remove   []string
}

// Apply changes the headers of a request or a response.
func (c HeaderChange) Apply(header http.Header) {
	for _, h := range c.Set {
		header.Set(string(h.Name), h.Value)
	}
	for _, h := range c.Add {
		header.Add(string(h.Name), h.Value)
	}
	for _, name := range c.Remove {
		header.Del(name)
	}
}

// Mirror is a backend that gets a copy of a share of the requests.
type Mirror struct {
	Backend route.Backend
	// Of each Denominator requests, Numerator are copied.
	Numerator, Denominator int32
}

// filters are what a rule or a backend of a rule does to requests.
type filters struct {
	request, response []HeaderChange
	redirect          *gatewayv1.HTTPRequestRedirectFilter
	rewrite           *gatewayv1.HTTPURLRewriteFilter
	mirrors           []Mirror
	cors              *gatewayv1.HTTPCORSFilter
	refs              problem // of a backend of a mirror
	unsupported       string
}

// filter compiles the filters of an HTTPRoute.
func (b *builder) filter(kind, namespace string, specs []gatewayv1.HTTPRouteFilter) filters {
	var f filters
	for _, s := range specs {
		switch {
		case s.RequestHeaderModifier != nil:
			f.request = append(f.request, change(s.RequestHeaderModifier))
		case s.ResponseHeaderModifier != nil:
			f.response = append(f.response, change(s.ResponseHeaderModifier))
		case s.RequestRedirect != nil:
			f.redirect = s.RequestRedirect
		case s.URLRewrite != nil:
			f.rewrite = s.URLRewrite
		case s.RequestMirror != nil:
			b.mirror(kind, namespace, s.RequestMirror, &f)
		case s.CORS != nil:
			f.cors = s.CORS
		default:
			f.unsupported = fmt.Sprintf("the filter %s is not supported", s.Type)
		}
	}
	return f
}

// grpcFilter compiles the filters of a GRPCRoute.
func (b *builder) grpcFilter(namespace string, specs []gatewayv1.GRPCRouteFilter) filters {
	var all []gatewayv1.HTTPRouteFilter
	for _, s := range specs {
		all = append(all, gatewayv1.HTTPRouteFilter{
			Type: gatewayv1.HTTPRouteFilterType(s.Type), RequestHeaderModifier: s.RequestHeaderModifier,
			ResponseHeaderModifier: s.ResponseHeaderModifier, RequestMirror: s.RequestMirror, ExtensionRef: s.ExtensionRef,
		})
	}
	return b.filter(kindGRPC, namespace, all)
}

func change(f *gatewayv1.HTTPHeaderFilter) HeaderChange {
	return HeaderChange{Set: f.Set, Add: f.Add, Remove: f.Remove}
}

// mirror adds a mirror. One whose backend cannot be resolved gets nothing.
func (b *builder) mirror(kind, namespace string, spec *gatewayv1.HTTPRequestMirrorFilter, f *filters) {
	decision, p := b.resolve(kind, namespace, spec.BackendRef)
	if p.exists() {
		f.refs = p
		return
	}
	m := Mirror{Backend: decision.Backend, Numerator: 100, Denominator: 100}
	switch {
	case spec.Percent != nil:
		m.Numerator = *spec.Percent
	case spec.Fraction != nil:
		m.Numerator, m.Denominator = spec.Fraction.Numerator, ptr.Deref(spec.Fraction.Denominator, 100)
	}
	if decision.Outcome == route.Forward && m.Denominator > 0 {
		f.mirrors = append(f.mirrors, m)
	}
}

// replace applies a change of a path that matched a rule.
func replace(m *gatewayv1.HTTPPathModifier, matched pathMatch, path string) string {
	switch {
	case m == nil:
		return path
	case m.Type == gatewayv1.FullPathHTTPPathModifier:
		return cmp.Or(ptr.Deref(m.ReplaceFullPath, ""), "/")
	}
	rest := strings.TrimPrefix(path, strings.TrimSuffix(matched.value, "/"))
	prefix := strings.TrimSuffix(ptr.Deref(m.ReplacePrefixMatch, ""), "/")
	if rest != "" && !strings.HasPrefix(rest, "/") {
		rest = "/" + rest
	}
	return cmp.Or(prefix+rest, "/")
}

// location returns the URL to which a redirect leads.
func location(f *gatewayv1.HTTPRequestRedirectFilter, matched pathMatch, path string, r Request) string {
	scheme := "http"
	if r.TLS {
		scheme = "https"
	}
	port := r.Port
	if f.Scheme != nil {
		if scheme != *f.Scheme {
			port = r.OtherPort
		} else if !r.Entry {
			port = 0 // the standard one
		}
		scheme = *f.Scheme
	}
	if f.Port != nil {
		port = *f.Port
	}
	host := r.Host
	switch {
	case f.Hostname != nil:
		host = string(*f.Hostname)
	case r.Address.Is6():
		host = "[" + r.Address.String() + "]"
	case r.Address.IsValid():
		host = r.Address.String()
	}
	if standard := map[string]int32{"http": 80, "https": 443}[scheme]; port != 0 && port != standard {
		host += ":" + strconv.Itoa(int(port))
	}
	// The path is a client's: it must not turn into another host.
	escaped := "/" + strings.TrimLeft(escape(replace(f.Path, matched, path)), "/")
	if r.RawQuery != "" {
		escaped += "?" + r.RawQuery
	}
	return scheme + "://" + host + escaped
}

// CORS are the headers of an answer to a request of another origin.
type CORS struct {
	// Preflight is set if the headers are the whole answer.
	Preflight bool
	Headers   http.Header
}

// answer returns the headers for a request; nil if its origin is not allowed.
func answer(f *gatewayv1.HTTPCORSFilter, r Request) *CORS {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return nil
	}
	preflight := r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
	c := &CORS{Preflight: preflight, Headers: http.Header{}}
	if !slices.ContainsFunc(f.AllowOrigins, func(o gatewayv1.CORSOrigin) bool { return allows(string(o), origin) }) {
		return c // without headers, so browsers refuse
	}
	credentials := ptr.Deref(f.AllowCredentials, false)
	if slices.Contains(f.AllowOrigins, "*") && !credentials {
		c.Headers.Set("Access-Control-Allow-Origin", "*")
	} else {
		c.Headers.Set("Access-Control-Allow-Origin", origin)
		c.Headers.Add("Vary", "Origin")
	}
	if credentials {
		c.Headers.Set("Access-Control-Allow-Credentials", "true")
	}
	list(c.Headers, "Access-Control-Expose-Headers", f.ExposeHeaders, r, credentials, "")
	if !preflight {
		return c
	}
	list(c.Headers, "Access-Control-Allow-Methods", f.AllowMethods, r, credentials, "Access-Control-Request-Method")
	list(c.Headers, "Access-Control-Allow-Headers", f.AllowHeaders, r, credentials, "Access-Control-Request-Headers")
	c.Headers.Set("Access-Control-Max-Age", strconv.Itoa(int(cmp.Or(f.MaxAge, 5))))
	return c
}

// list sets a header to a list. With credentials a wildcard means nothing to browsers,
// so the requested values are named.
func list[T ~string](header http.Header, name string, values []T, r Request, credentials bool, requested string) {
	if credentials && requested != "" && slices.Contains(values, "*") {
		if asked := r.Header.Get(requested); asked != "" {
			header.Set(name, asked)
		}
		return
	}
	var texts []string
	for _, v := range values {
		texts = append(texts, string(v))
	}
	if len(texts) > 0 {
		header.Set(name, strings.Join(texts, ", "))
	}
}

// allows reports whether a pattern matches an origin. A wildcard is the first label of
// its host.
func allows(pattern, origin string) bool {
	if pattern == "*" || strings.EqualFold(pattern, origin) {
		return true
	}
	scheme, host, _ := strings.Cut(strings.ToLower(pattern), "://")
	originScheme, originHost, _ := strings.Cut(strings.ToLower(origin), "://")
	return scheme == originScheme && strings.HasPrefix(host, "*.") && covers(host, originHost)
}
