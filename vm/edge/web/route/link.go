package route

import (
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Link is a host and a path at which a Service or an Ingress answers.
type Link struct {
	Of types.NamespacedName
	// Host may be a wildcard.
	Host string
	// Path is empty for the root.
	Path string
	// Secure means that the Ingress has a certificate for the host.
	Secure bool
}

// ServiceLinks returns the name of each Service that has a TCP port, sorted by
// namespace and name.
func (t *Table) ServiceLinks() []Link {
	var all []Link
	for _, host := range t.Names() {
		name, _ := Parse(host)
		all = append(all, Link{Of: types.NamespacedName{Namespace: name.Namespace, Name: name.Service}, Host: host})
	}
	return all
}

// IngressLinks returns a link for each host of each Ingress, the oldest Ingress
// first. Rules without a host answer on CLUSTER.localhost.
func (t *Table) IngressLinks() []Link {
	var all []Link
	for _, i := range t.ingresses {
		of, seen := types.NamespacedName{Namespace: i.Namespace, Name: i.Name}, map[string]bool{}
		add := func(host, path string) {
			if host == "" {
				host = Name{Cluster: t.cluster}.String()
			}
			if !seen[host] {
				seen[host] = true
				all = append(all, Link{Of: of, Host: host, Path: path, Secure: isSecure(i, host)})
			}
		}
		for _, r := range i.Spec.Rules {
			add(strings.ToLower(r.Host), firstPath(r))
		}
		if i.Spec.DefaultBackend != nil && len(i.Spec.Rules) == 0 {
			add("", "")
		}
	}
	return all
}

// firstPath returns the first path of a rule, "" for the root.
func firstPath(r networkingv1.IngressRule) string {
	if r.HTTP == nil || len(r.HTTP.Paths) == 0 || r.HTTP.Paths[0].Path == "/" {
		return ""
	}
	return r.HTTP.Paths[0].Path
}

func isSecure(i *networkingv1.Ingress, host string) bool {
	return slices.ContainsFunc(i.Spec.TLS, func(entry networkingv1.IngressTLS) bool {
		return entry.SecretName != "" && (len(entry.Hosts) == 0 || slices.ContainsFunc(entry.Hosts, func(pattern string) bool {
			return covers(strings.ToLower(pattern), host)
		}))
	})
}
