package gateway

import (
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/skiff-dev/skiff/vm/edge/web/route"
)

func TestHTTPRoutesHaveLinks(t *testing.T) {
	r := newRig()
	r.gateway(t, "web", `
- {name: http, port: 80, protocol: HTTP}
- {name: https, port: 443, protocol: HTTPS, hostname: "*.shop.test", tls: {certificateRefs: [{name: cert}]}}
`)
	const to = `backendRefs: [{name: a, port: 80}]`
	r.http(t, "shop", `{parentRefs: [{name: web}], hostnames: [www.shop.test], rules: [{matches: [{path: {value: /b/c}}, {path: {value: /b}}], `+to+`}]}`)
	r.http(t, "any", `{parentRefs: [{name: web, sectionName: http}], rules: [{`+to+`}]}`)
	r.http(t, "pattern", `{parentRefs: [{name: web, sectionName: http}], hostnames: ["*.other.test"], rules: [{matches: [{path: {type: RegularExpression, value: "/a+"}}], `+to+`}]}`)
	r.grpc(t, "calls", `{parentRefs: [{name: web}], hostnames: [calls.test], rules: [{`+to+`}]}`)
	link := func(name, host, path string, secure bool) route.Link {
		return route.Link{Of: types.NamespacedName{Namespace: "default", Name: name}, Host: host, Path: path, Secure: secure}
	}
	want := []route.Link{
		link("any", "dev.localhost", "", false), link("pattern", "*.other.test", "", false),
		link("shop", "www.shop.test", "/b", false), link("shop", "www.shop.test", "/b", true),
	}
	if got := r.table().Links("dev"); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
