package gateway

import (
	"cmp"
	"maps"
	"slices"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/skiff-dev/skiff/vm/edge/web/route"
)

// Links returns a link for each host and protocol at which the web entry serves an
// HTTPRoute, with the shortest path of its rules, sorted by namespace and name. Routes
// without a host answer on CLUSTER.localhost.
func (t *Table) Links(cluster string) []route.Link {
	shortest := map[route.Link]string{}
	for _, l := range t.entry {
		for _, r := range l.rules {
			if _, ok := r.owner.(*gatewayv1.HTTPRoute); !ok {
				continue
			}
			link := route.Link{
				Of: nameOf(r.owner), Host: cmp.Or(r.hostname, route.Name{Cluster: cluster}.String()),
				Secure: l.protocol == gatewayv1.HTTPSProtocolType,
			}
			path := r.match.path.link()
			if before, seen := shortest[link]; !seen || len(path) < len(before) {
				shortest[link] = path
			}
		}
	}
	var all []route.Link
	for link, path := range maps.All(shortest) {
		link.Path = path
		all = append(all, link)
	}
	slices.SortFunc(all, func(a, b route.Link) int {
		return cmp.Or(cmp.Compare(a.Of.Namespace, b.Of.Namespace), cmp.Compare(a.Of.Name, b.Of.Name), cmp.Compare(a.Host, b.Host), order(a.Secure)-order(b.Secure))
	})
	return all
}

// link returns a path that matches, "" for the root. Which ones match a regular
// expression is not known.
func (p pathMatch) link() string {
	if p.kind == gatewayv1.PathMatchRegularExpression || p.value == "/" {
		return ""
	}
	return p.value
}

// order puts HTTP before HTTPS.
func order(secure bool) int {
	if secure {
		return 1
	}
	return 0
}
