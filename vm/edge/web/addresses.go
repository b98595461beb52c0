package web

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/edge/web/route"
)

// Addresses returns the URLs of the cluster's Services, Ingresses and HTTPRoutes, for an
// entry with the given ports.
func (s *Server) Addresses(ports Ports) (names []daemonapi.WebName, ingresses, routes []daemonapi.Ingress) {
	table := s.site.table.Load()
	for _, l := range table.ServiceLinks() {
		names = append(names, daemonapi.WebName{Namespace: l.Of.Namespace, Name: l.Of.Name, URL: ports.url(l)})
	}
	links := slices.DeleteFunc(s.site.gateways.Load().Links(s.site.cluster), func(l route.Link) bool { return table.HasHost(l.Host) })
	return names, ports.ingresses(table.IngressLinks()), ports.ingresses(links)
}

func (p Ports) url(l route.Link) string {
	base := address("http", l.Host, p.HTTP, 80)
	if l.Secure {
		base = address("https", l.Host, p.HTTPS, 443)
	}
	return base + (&url.URL{Path: l.Path}).EscapedPath()
}

// ingresses groups links, which are in the order of their Ingresses or HTTPRoutes.
func (p Ports) ingresses(links []route.Link) []daemonapi.Ingress {
	var all []daemonapi.Ingress
	foreign := map[int][]string{}
	for _, l := range links {
		last := len(all) - 1
		if last < 0 || all[last].Namespace != l.Of.Namespace || all[last].Name != l.Of.Name {
			all = append(all, daemonapi.Ingress{Namespace: l.Of.Namespace, Name: l.Of.Name})
			last++
		}
		all[last].URLs = append(all[last].URLs, p.url(l))
		if route.ClusterOf(l.Host) == "" && !slices.Contains(foreign[last], l.Host) {
			foreign[last] = append(foreign[last], l.Host)
		}
	}
	for i, hosts := range foreign {
		all[i].Message = fmt.Sprintf("%s must resolve to 127.0.0.1 on this host", strings.Join(hosts, ", "))
	}
	return all
}
