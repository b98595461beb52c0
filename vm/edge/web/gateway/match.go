package gateway

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"k8s.io/utils/ptr"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// match is what a request must have to be a rule's.
type match struct {
	path    pathMatch
	method  string // "" for any
	headers []valueMatch
	query   []valueMatch
	grpc    bool
}

// pathMatch matches the path of a request.
type pathMatch struct {
	kind       gatewayv1.PathMatchType
	value      string
	expression *regexp.Regexp
}

func (p pathMatch) matches(path string) bool {
	switch p.kind {
	case gatewayv1.PathMatchExact:
		return path == p.value
	case gatewayv1.PathMatchRegularExpression:
		return p.expression.MatchString(path)
	}
	prefix := strings.TrimSuffix(p.value, "/")
	return path == prefix || strings.HasPrefix(path, prefix+"/")
}

// weight orders paths: exact ones first, then by length.
func (p pathMatch) weight() int {
	switch p.kind {
	case gatewayv1.PathMatchExact:
		return 1 << 20
	case gatewayv1.PathMatchRegularExpression:
		return 1<<19 + len(p.value)
	}
	return len(strings.TrimSuffix(p.value, "/"))
}

// valueMatch matches a header or a query parameter.
type valueMatch struct {
	name, value string
	expression  *regexp.Regexp // instead of value
}

func (v valueMatch) matches(values []string, join bool) bool {
	if len(values) == 0 {
		return false
	}
	value := values[0]
	if join {
		value = strings.Join(values, ",")
	}
	if v.expression != nil {
		return v.expression.MatchString(value)
	}
	return value == v.value
}

// matches reports whether a request with this path is the rule's.
func (m match) matches(path string, r Request, query url.Values) bool {
	if m.method != "" && m.method != r.Method || m.grpc && !r.GRPC || !m.path.matches(path) {
		return false
	}
	for _, h := range m.headers {
		if !h.matches(r.Header.Values(h.name), true) {
			return false
		}
	}
	for _, q := range m.query {
		if !q.matches(query[q.name], false) {
			return false
		}
	}
	return true
}

// httpMatch compiles a match of an HTTPRoute.
func httpMatch(spec gatewayv1.HTTPRouteMatch) (match, error) {
	m := match{method: string(ptr.Deref(spec.Method, ""))}
	var err error
	if m.path, err = newPath(ptr.Deref(spec.Path, gatewayv1.HTTPPathMatch{})); err != nil {
		return m, err
	}
	seen := map[string]bool{}
	for _, h := range spec.Headers {
		// Of several matches of one name the first counts.
		name := http.CanonicalHeaderKey(string(h.Name))
		if seen[name] {
			continue
		}
		seen[name] = true
		v, err := newValue(name, h.Value, ptr.Deref(h.Type, "") == gatewayv1.HeaderMatchRegularExpression)
		if err != nil {
			return m, err
		}
		m.headers = append(m.headers, v)
	}
	seen = map[string]bool{}
	for _, q := range spec.QueryParams {
		if seen[string(q.Name)] {
			continue
		}
		seen[string(q.Name)] = true
		v, err := newValue(string(q.Name), q.Value, ptr.Deref(q.Type, "") == gatewayv1.QueryParamMatchRegularExpression)
		if err != nil {
			return m, err
		}
		m.query = append(m.query, v)
	}
	return m, nil
}

func newPath(spec gatewayv1.HTTPPathMatch) (pathMatch, error) {
	p := pathMatch{kind: ptr.Deref(spec.Type, gatewayv1.PathMatchPathPrefix), value: ptr.Deref(spec.Value, "/")}
	var err error
	switch p.kind {
	case gatewayv1.PathMatchExact, gatewayv1.PathMatchPathPrefix:
	case gatewayv1.PathMatchRegularExpression:
		p.expression, err = whole(p.value)
	default:
		err = fmt.Errorf("the path match %s is not supported", p.kind)
	}
	return p, err
}

func newValue(name, value string, expression bool) (valueMatch, error) {
	v := valueMatch{name: name, value: value}
	var err error
	if expression {
		v.expression, err = whole(value)
	}
	return v, err
}

// whole compiles an expression that must match all of a value.
func whole(expression string) (*regexp.Regexp, error) {
	compiled, err := regexp.Compile("^(?:" + expression + ")$")
	if err != nil {
		return nil, fmt.Errorf("invalid regular expression: %w", err)
	}
	return compiled, nil
}

// grpcMatch compiles a match of a GRPCRoute. A call is a POST request to
// /SERVICE/METHOD.
func grpcMatch(spec gatewayv1.GRPCRouteMatch) (match, error) {
	m := match{grpc: true, path: pathMatch{kind: gatewayv1.PathMatchPathPrefix, value: "/"}}
	if spec.Method != nil {
		service, method := ptr.Deref(spec.Method.Service, ""), ptr.Deref(spec.Method.Method, "")
		var err error
		if m.path, err = newCall(service, method, ptr.Deref(spec.Method.Type, "") == gatewayv1.GRPCMethodMatchRegularExpression); err != nil {
			return m, err
		}
	}
	for _, h := range spec.Headers {
		v, err := newValue(http.CanonicalHeaderKey(string(h.Name)), h.Value, ptr.Deref(h.Type, "") == gatewayv1.GRPCHeaderMatchRegularExpression)
		if err != nil {
			return m, err
		}
		m.headers = append(m.headers, v)
	}
	return m, nil
}

// newCall returns the path of calls; an empty service or method means any.
func newCall(service, method string, expression bool) (pathMatch, error) {
	switch {
	case !expression && service != "" && method != "":
		return pathMatch{kind: gatewayv1.PathMatchExact, value: "/" + service + "/" + method}, nil
	case !expression && method == "":
		return pathMatch{kind: gatewayv1.PathMatchPathPrefix, value: "/" + service}, nil
	case !expression:
		service, method = "[^/]+", regexp.QuoteMeta(method)
	}
	if service == "" {
		service = "[^/]+"
	}
	if method == "" {
		method = "[^/]+"
	}
	compiled, err := whole("/(?:" + service + ")/(?:" + method + ")")
	return pathMatch{kind: gatewayv1.PathMatchRegularExpression, value: service + method, expression: compiled}, err
}
